"""Fixed sines and cosines of the coordinates on a grid."""

from math import prod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from armillary.core.config.embeddings import GridSinusoidalSettings
from armillary.core.errors import ConfigError
from armillary.core.tokens import Tokens


class GridSinusoidal(nn.Module):
    """Adds `grid_sinusoidal` of each token's place on its grid, and nothing to prefix tokens.

    The table of the grid in the settings is a parameter that does not learn, with rows of zeros for the prefix, so that
    a count of parameters has it. On another grid the encoding is computed anew.

    Raises ConfigError where the width has no room for a sine and a cosine of every axis.
    """

    def __init__(self, width: int, settings: GridSinusoidalSettings) -> None:
        super().__init__()
        self.width, self.extents, self.base = width, settings.extents, settings.base
        self.rows = settings.prefix
        self._check(width, len(settings.extents))
        table = grid_sinusoidal(settings.extents, width, settings.base).to(torch.get_default_dtype())
        self.table = nn.Parameter(torch.cat((table.new_zeros(settings.prefix, width), table)), requires_grad=False)

    def forward(self, tokens: Tokens) -> Tokens:
        values = tokens.values
        encoding = self._encoding(tokens).to(values.dtype)
        leading, body = values[:, : tokens.prefix], values[:, tokens.prefix :]
        return tokens.with_values(torch.cat((leading, body + encoding), dim=1))

    def cost(self, batch: int, length: int) -> float:
        """No multiply-adds: rows are added."""
        return 0.0

    def _encoding(self, tokens: Tokens) -> Float[Tensor, "l d"]:
        if tokens.grid is None:
            raise ValueError(
                "grid_sinusoidal reads the tokens' places on a grid, got tokens without one; use an embedding of "
                "patches, or sinusoidal"
            )
        extents, length = tokens.grid.extents, tokens.values.shape[1] - tokens.prefix
        if prod(extents) != length:
            raise ValueError(
                f"got {length} tokens on a grid of extents {extents}, which holds {prod(extents)}; add positions "
                "before tokens are taken away"
            )
        if extents == self.extents:
            return self.table[self.rows :]
        self._check(self.width, len(extents))
        return grid_sinusoidal(extents, self.width, self.base, tokens.values.device)

    def _check(self, width: int, rank: int) -> None:
        if width < 2 * rank:
            raise ConfigError(
                f"grid_sinusoidal at width {width} has no sine and cosine for each of {rank} axes.\n"
                f"  Choose a width of {2 * rank} at least."
            )


def grid_sinusoidal(
    extents: tuple[int, ...], width: int, base: float = 10000.0, device: torch.device | None = None
) -> Float[Tensor, "l d"]:
    """Axis by axis, sin(p / base**(i/m)) for i = 0 ... m - 1, then the cosines; m = width // (2 axes), rest zero.

    Places p count from 0 and rows are in the row-major order of the grid. Computed in float64.

    References:
        Vaswani et al. 2017, "Attention is all you need", section 3.5, for each axis; the order of the features is ours.
    """
    rank = len(extents)
    number = width // (2 * rank)
    frequencies = base ** (-torch.arange(number, dtype=torch.float64, device=device) / max(number, 1))
    axes = [torch.arange(extent, dtype=torch.float64, device=device) for extent in extents]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, rank, 1)
    angles = places * frequencies
    encoding = torch.cat((angles.sin(), angles.cos()), dim=-1).flatten(1)
    return torch.nn.functional.pad(encoding, (0, width - encoding.shape[1])).float()
