"""Shifted windows: attention within tiles of a grid, which lie half a tile further in every second block."""

from functools import reduce
from math import prod
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn
from torch.nn import functional

from armillary.core.config.mixers import WindowSettings
from armillary.core.mixers.grids import counted_extents, grid_of, row_extents
from armillary.core.mixers.heads import head_width, in_heads
from armillary.core.mixers.protocol import Capabilities, State
from armillary.core.mixers.relative_bias import RelativeBias
from armillary.core.mixers.sequences import refuse_unsupported
from armillary.core.tokens import Grid, Tokens


class Window(nn.Module):
    """softmax(q k^T / sqrt(e) + bias) v within windows of `window` tokens along each axis, in every head.

    With `shift`, the windows begin half a window later and the first one is cut short; along an axis that one window
    holds nothing is shifted. Windows reach over the grid's end, where nobody is attended. Along a periodic axis shifted
    windows wrap around instead, so its extent must be a multiple of the window. The grid of a row is the block, from
    its first token on, that holds its real tokens. Weights of another window serve too: their bias is resized.

    References:
        Liu et al. 2021, "Swin transformer", section 3.2 and eq. 4.
    """

    def __init__(self, width: int, settings: WindowSettings) -> None:
        super().__init__()
        self.width, self.settings = width, settings
        self.head_width = head_width("window", width, settings.heads)
        self.qkv = nn.Linear(width, 3 * width, bias=settings.bias)
        self.out = nn.Linear(width, width, bias=settings.bias)
        self.relative_bias = None
        if settings.relative_bias and settings.rank is not None:
            self.relative_bias = RelativeBias(settings.heads, (settings.window,) * settings.rank)
        self.capabilities = Capabilities(causal=False, streaming=False, cost_order="l", grid_ranks=settings.ranks)

    def forward(
        self, tokens: Tokens, state: State = None, context: Tokens | None = None
    ) -> tuple[Float[Tensor, "b l d"], None]:
        refuse_unsupported("window", self.capabilities, tokens, state, context)
        grid = grid_of(tokens, "window", self.settings.ranks)
        _check_wrap(grid, self.settings.window)
        sizes = row_extents(tokens, grid)
        tiling = _tiling(grid, self.settings.window, self.settings.shift, sizes, tokens.values.device)
        seen = tiling.real if tokens.mask is None else tiling.real & _gather(tokens.mask, tiling.tokens)
        q, k, v = (_gather(tensor, tiling.tokens) for tensor in in_heads(self.qkv, tokens.values, self.settings.heads))
        mixed = self._attend(q, k, v, seen)
        return self.out(_gather(mixed.flatten(1, 2), tiling.place).flatten(2)), None

    def step(self, tokens: Tokens, state: State) -> tuple[Float[Tensor, "b l d"], None]:
        return self(tokens, state)

    def cost(self, batch: int, length: int, grid: Grid | None = None) -> float:
        """Multiply-adds [MAC]: four projections, and scores and weighted sum within the windows, padding counted."""
        window = self.settings.window
        extents = counted_extents(length, grid, self.settings.ranks)
        padded = prod(-(-extent // window) * window for extent in extents)
        return batch * (4.0 * length * self.width**2 + 2.0 * padded * window ** len(extents) * self.width)

    def _attend(
        self, q: Float[Tensor, "b n m h e"], k: Tensor, v: Tensor, seen: Bool[Tensor, "#b n m"]
    ) -> Float[Tensor, "b n m h e"]:
        """Attention within each of n windows of m tokens; keys that are not seen get no weight."""
        batch, windows = q.shape[:2]
        # A window where nothing is seen would make NaN; nobody reads what it gives.
        kept = seen | ~seen.any(-1, keepdim=True)
        bias = q.new_zeros(1, 1, 1) if self.relative_bias is None else self.relative_bias.pairs().to(q.dtype)
        scores = bias.masked_fill(~kept[:, :, None, None, :], -torch.inf)
        scores = scores.expand(batch, windows, self.settings.heads, q.shape[2], -1).flatten(0, 1)
        q, k, v = (tensor.flatten(0, 1).transpose(1, 2) for tensor in (q, k, v))
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=scores)
        return mixed.transpose(1, 2).unflatten(0, (batch, windows))


class _Tiling(NamedTuple):
    """Windows of a grid, the same for all rows where the first axis is 1.

    tokens: index of the token at each of m slots of n windows; slots beyond the grid hold one of the same window.
    real: True for slots within the row's grid.
    place: slot, in the flat (n m), of each token.
    """

    tokens: Int[Tensor, "#b n m"]
    real: Bool[Tensor, "#b n m"]
    place: Int[Tensor, "#b l"]


def _tiling(grid: Grid, window: int, shift: bool, sizes: Int[Tensor, "b r"] | None, device: torch.device) -> _Tiling:
    rank = len(grid.extents)
    sizes = torch.tensor([grid.extents], device=device) if sizes is None else sizes
    axes = [_slots(grid.extents[a], window, shift, grid.periodic[a], sizes[:, a]) for a in range(rank)]
    counts = [axis.tokens.shape[1] for axis in axes]
    tokens, real, place = [], [], []
    for a, axis in enumerate(axes):
        outer, inner, along = (
            [size if i == a else 1 for i in range(rank)] for size in (counts[a], window, grid.extents[a])
        )
        shape = (axis.tokens.shape[0], *outer, *inner)
        tokens.append(axis.tokens.reshape(shape) * prod(grid.extents[a + 1 :]))
        real.append(axis.real.reshape(shape))
        number, within = axis.place // window, axis.place % window
        slot = number * prod(counts[a + 1 :]) * window**rank + within * window ** (rank - 1 - a)
        place.append(slot.reshape(slot.shape[0], *along))
    return _Tiling(
        reduce(torch.add, tokens).flatten(1, rank).flatten(2),
        reduce(torch.logical_and, real).flatten(1, rank).flatten(2),
        reduce(torch.add, place).flatten(1),
    )


def _slots(extent: int, window: int, shift: bool, periodic: bool, sizes: Int[Tensor, " b"]) -> _Tiling:
    """The windows of one axis."""
    device, half = sizes.device, window // 2
    places = torch.arange(extent, device=device)
    if periodic:
        start = half if shift and extent > window else 0
        tokens = places.roll(-start).unflatten(0, (-1, window))[None]
        return _Tiling(tokens, torch.ones_like(tokens, dtype=torch.bool), places.roll(start)[None])
    # The first window is cut to `half` tokens: the slots before them stay empty, unless one window holds the row.
    moved = shift and extent > window
    lead = (sizes > window)[:, None] * (window - half if moved else 0)
    count = -(-(extent + (window - half if moved else 0)) // window)
    tokens = torch.arange(count * window, device=device) - lead
    real = (tokens >= 0) & (tokens < sizes[:, None])
    last = (sizes[:, None] - 1).clamp(min=0)
    tokens = torch.minimum(tokens.clamp(min=0), last)
    return _Tiling(tokens.unflatten(1, (count, window)), real.unflatten(1, (count, window)), places + lead)


def _gather(values: Shaped[Tensor, "b l *f"], index: Int[Tensor, "#b *n"]) -> Shaped[Tensor, "b ..."]:
    """values[b, index[b]], the same index for all rows where its first axis is 1."""
    batch, length = values.shape[:2]
    flat = index + length * torch.arange(batch, device=index.device).reshape(-1, *(1,) * (index.ndim - 1))
    return values.flatten(0, 1).index_select(0, flat.flatten()).unflatten(0, flat.shape)


def _check_wrap(grid: Grid, window: int) -> None:
    for extent, periodic in zip(grid.extents, grid.periodic, strict=True):
        if periodic and extent % window:
            raise ValueError(
                f"window tiles a periodic axis without a seam, got window={window} and extents {grid.extents}; "
                f"choose a window that divides {extent}"
            )
