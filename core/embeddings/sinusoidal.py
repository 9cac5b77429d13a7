"""The fixed sine and cosine encoding of a position."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from armillary.core.config.embeddings import SinusoidalSettings
from armillary.core.embeddings.positions import coordinate
from armillary.core.tokens import Tokens


class Sinusoidal(nn.Module):
    """Adds `sinusoidal` of each token's position, or of its index when it has none."""

    def __init__(self, width: int, settings: SinusoidalSettings) -> None:
        super().__init__()
        self.width, self.base = width, settings.base

    def forward(self, tokens: Tokens) -> Tokens:
        encoding = sinusoidal(coordinate(tokens), self.width, self.base)
        return tokens.with_values(tokens.values + encoding.to(tokens.values.dtype))


def sinusoidal(positions_BL: Float[Tensor, "b l"], width: int, base: float = 10000.0) -> Float[Tensor, "b l d"]:
    """sin(p / base**(2i/d)) in feature 2i and cos of the same in feature 2i + 1; an odd d ends with a sine.

    References:
        Vaswani et al. 2017, "Attention is all you need", section 3.5.
    """
    even = torch.arange(0, width, 2, device=positions_BL.device, dtype=positions_BL.dtype)
    angles = positions_BL.unsqueeze(-1) * base ** (-even / width)
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(2)[..., :width]
