"""Parameters that every state space has: they stay in float32 and take no weight decay."""

import math

import torch
from torch import Tensor, nn

from armillary.core.config.mixers import StepSizeSettings


def undecayed(values: Tensor) -> nn.Parameter:
    """A parameter that the optimiser excludes from weight decay."""
    parameter = nn.Parameter(values)
    setattr(parameter, "no_weight_decay", True)  # noqa: B010  the optimiser reads this mark; torch declares no such field
    return parameter


def step_size_bias(size: int, settings: StepSizeSettings) -> nn.Parameter:
    """Bias b with softplus(b) log-uniform between dt_min and dt_max, at least dt_floor.

    References:
        Gu and Dao 2023, "Mamba", section 3.6.
    """
    low, high = math.log(settings.dt_min), math.log(settings.dt_max)
    dt = torch.empty(size).uniform_(low, high).exp().clamp(min=settings.dt_floor)
    return undecayed(dt + torch.log(-torch.expm1(-dt)))
