"""Convolution over the tokens of a grid."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from armillary.core.mixers.grids import to_grid
from armillary.core.tokens import Grid


class GridConv(nn.Module):
    """Convolution of odd `width` along each of `rank` axes, with a bias; depthwise if `depthwise`, else dense.

    Beyond the edge lie zeros, or on a periodic axis the other end; masked tokens count as zero. Weights start as
    torch's own convolutions do, uniform within 1 / sqrt(inputs of an output).
    """

    def __init__(self, channels: int, width: int, rank: int, depthwise: bool = False) -> None:
        super().__init__()
        self.reach, self.rank, self.groups = width // 2, rank, channels if depthwise else 1
        shape = (channels, channels // self.groups, *(width,) * rank)
        bound = 1 / math.sqrt(math.prod(shape[1:]))
        self.weight = nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(channels).uniform_(-bound, bound))

    def forward(
        self, values: Float[Tensor, "b l c"], grid: Grid, mask: Bool[Tensor, "b l"] | None
    ) -> Float[Tensor, "b l c"]:
        if values.shape[1] == 0:
            return values
        values = values if mask is None else values * mask[..., None].to(values.dtype)
        on_grid = wrapped(to_grid(values, grid), grid, self.reach)
        padding = [0 if wraps else self.reach for wraps in grid.periodic]
        weight, convolve = self.weight, functional.conv3d if self.rank == 3 else functional.conv2d
        if self.rank == 1:
            # Torch's convolution along one axis takes ten times as long as the one along two.
            on_grid, weight, padding = on_grid[:, None], weight[:, :, None], [0, *padding]
        # Channels last in memory, which the axes moved here leave as it is, is the fast layout.
        convolved = convolve(on_grid.movedim(-1, 1), weight, self.bias, padding=padding, groups=self.groups)
        return convolved.movedim(1, -1).flatten(1, -2)

    def cost(self, batch: int, length: int) -> float:
        """Multiply-adds [MAC]."""
        return float(batch) * length * self.weight.numel()


def wrapped(values: Tensor, grid: Grid, reach: int) -> Tensor:
    """The grid (b, *extents, c) with `reach` places of the other end before and after every periodic axis."""
    for axis, (extent, wraps) in enumerate(zip(grid.extents, grid.periodic, strict=True)):
        if wraps and reach:
            places = torch.arange(-reach, extent + reach, device=values.device) % extent
            values = values.index_select(1 + axis, places)
    return values
