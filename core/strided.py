"""Half as many tokens along every axis of a grid, by a convolution whose windows overlap, and a layer norm."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from armillary.core.mixers.grid_convolution import wrapped
from armillary.core.mixers.grids import to_grid
from armillary.core.resample import coarser
from armillary.core.tokens import Grid, Tokens


class ConvNormMerge(nn.Module):
    """norm(convolution) with a stride of two along every axis of a grid, or of a sequence: ceil(n / 2) tokens of n.

    Token i of the output stands at token 2i of the input along each axis and sees `kernel` // 2 more on either side.
    Masks and positions become those of `Merge`: a token is real if any of its own is, and stands at the mean of them.
    Masked tokens and those beyond the edges count as zeros; a periodic axis wraps. Prefix tokens stay, as if among
    copies of themselves.

    References:
        Liu et al. 2024, "VMamba: visual state space model" (down-sampling layers of the released code).
    """

    def __init__(self, in_width: int, out_width: int, rank: int, kernel: int = 3) -> None:
        super().__init__()
        self.rank, self.reach = rank, kernel // 2
        if rank == 3:
            self.convolve = nn.Conv3d(in_width, out_width, kernel, stride=2)
        else:
            # Torch's convolution along one axis takes ten times as long as the one along two: a row is a flat image.
            windows, steps = ((kernel, kernel), (2, 2)) if rank == 2 else ((1, kernel), (1, 2))
            self.convolve = nn.Conv2d(in_width, out_width, windows, stride=steps)
        self.norm = nn.LayerNorm(out_width)

    def forward(self, tokens: Tokens) -> Tokens:
        places = coarser(tokens, self.rank)
        prefix, values = tokens.prefix, tokens.zeroed()
        body = values[:, prefix:]
        convolved = self._convolved(body, tokens.grid or Grid((body.shape[1],), (False,)))
        if prefix:
            convolved = torch.cat([self._same(values[:, :prefix]), convolved], dim=1)
        return places.with_values(self.norm(convolved))

    def _convolved(self, body: Float[Tensor, "b l c"], grid: Grid) -> Float[Tensor, "b m e"]:
        if body.shape[1] == 0:
            return self._same(body)
        edges = [0 if wraps else self.reach for wraps in reversed(grid.periodic) for _ in range(2)]
        # Padded and convolved with channels last in memory, the fast layout.
        on_grid = functional.pad(wrapped(to_grid(body, grid), grid, self.reach), [0, 0, *edges])
        image = on_grid.unsqueeze(1) if self.rank == 1 else on_grid
        return self.convolve(image.movedim(-1, 1)).movedim(1, -1).flatten(1, -2)

    def _same(self, values: Float[Tensor, "b l c"]) -> Float[Tensor, "b l e"]:
        """What a token gives among copies of itself."""
        return functional.linear(values, self.convolve.weight.flatten(2).sum(-1), self.convolve.bias)
