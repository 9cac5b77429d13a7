"""What every state space has: step sizes that take no weight decay, and a fused step for one token."""

import math

import torch
from torch import Tensor, nn

from armillary.core.config.mixers import StepSizeSettings
from armillary.core.ops.streaming import fusing_problem
from armillary.core.parameters import undecayed
from armillary.core.tokens import Tokens


def step_size_bias(size: int, settings: StepSizeSettings) -> nn.Parameter:
    """Bias b with softplus(b) log-uniform between dt_min and dt_max, at least dt_floor.

    References:
        Gu and Dao 2023, "Mamba", section 3.6.
    """
    low, high = math.log(settings.dt_min), math.log(settings.dt_max)
    dt = torch.empty(size).uniform_(low, high).exp().clamp(min=settings.dt_floor)
    return undecayed(dt + torch.log(-torch.expm1(-dt)))


def fits_fused_step(tokens: Tokens, weight: Tensor) -> bool:
    """Whether one fused call can serve these tokens: one a row, all real, single precision on a CPU, under no_grad."""
    values = tokens.values
    return (
        values.shape[1] == 1
        and tokens.mask is None
        and tokens.segments is None
        and values.dtype is torch.float32
        and weight.dtype is torch.float32
        and values.device.type == "cpu"
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and fusing_problem(()) is None
    )
