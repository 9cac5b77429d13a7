"""Fourier features of physical time at periods spread evenly in their logarithm."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from armillary.core.config.embeddings import ContinuousTimeSettings
from armillary.core.tokens import Tokens


class ContinuousTime(nn.Module):
    """Adds a linear map of sin(2 pi t / T_i) and cos(2 pi t / T_i), i = 1 ... frequencies, for every coordinate.

    The periods T_i go from `shortest` to `longest` in equal ratios, in the unit of the positions. Features are
    computed in float32 at least.

    References:
        Tancik et al. 2020, "Fourier features let networks learn high frequency functions", eq. 5, with fixed
        log-spaced frequencies.
    """

    angular: Tensor

    def __init__(self, width: int, settings: ContinuousTimeSettings) -> None:
        super().__init__()
        self.axes = settings.axes
        ends = math.log(settings.shortest), math.log(settings.longest)
        periods = torch.linspace(*ends, settings.frequencies, dtype=torch.float64).exp()
        self.register_buffer("angular", (2 * math.pi / periods).to(torch.get_default_dtype()), persistent=False)
        self.project = nn.Linear(2 * settings.axes * settings.frequencies, width)

    def forward(self, tokens: Tokens) -> Tokens:
        if tokens.positions is None:
            raise ValueError("continuous_time needs physical positions, got tokens without; give positions (b, l, p)")
        return tokens.with_values(tokens.values + self.encode(tokens.positions))

    def encode(self, positions: Float[Tensor, "b l p"]) -> Float[Tensor, "b l d"]:
        """The encoding by itself."""
        if positions.shape[-1] != self.axes:
            raise ValueError(f"expected {self.axes} coordinates, got {positions.shape[-1]}; set axes to match")
        angles = (positions.unsqueeze(-1) * self.angular).flatten(2)
        return self.project(torch.cat((angles.sin(), angles.cos()), dim=-1).to(self.project.weight.dtype))
