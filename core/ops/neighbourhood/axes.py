"""Tiles of queries along the axes of a grid, the keys they share, and which of these each query attends.

Axis letters: b rows of the batch (1 if all have the same extents), n tiles, i queries of a tile, j keys of a tile.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from math import prod
from operator import and_

import torch
from jaxtyping import Bool, Int
from torch import Tensor


@dataclass(frozen=True)
class Tiles:
    """Tiles of a grid as flat indices.

    queries, keys: index of each token; those that nobody attends, and queries beyond the grid, are some token.
    seen: pairs that attend each other; all False for a query outside the row's extents.
    offset: index of each pair in the flat bias.
    place: where each token of the grid stands as a query, an index into the flat (n i).
    """

    queries: Int[Tensor, "#b n i"]
    keys: Int[Tensor, "#b n j"]
    seen: Bool[Tensor, "#b n i j"]
    offset: Int[Tensor, "#b n i j"]
    place: Int[Tensor, " tokens"]


@dataclass(frozen=True)
class Axis:
    """One axis of the grid: its padded extent and its neighbourhood."""

    extent: int
    window: int
    dilation: int
    causal: bool
    periodic: bool

    @property
    def members(self) -> int:
        """Tokens of the largest dilation class."""
        return -(-self.extent // self.dilation)

    @property
    def tile(self) -> int:
        """Queries of a tile: about a window, so that a tile has about two windows of keys."""
        tiles = max(1, round(self.members / min(max(self.window, 4), 64)))
        return -(-self.members // tiles)

    @property
    def shared(self) -> int:
        """Keys of a tile: the windows of its queries, one step apart."""
        shared = self.tile + self.window - 1
        return shared if self.periodic else min(shared, self.members)


def grid_tiles(axes: list[Axis], sizes: Int[Tensor, "b r"]) -> Tiles:
    """The product of the tiles of every axis; `sizes` are the extents of each row's own grid."""
    tables = [_axis_tiles(axis, sizes[:, number]) for number, axis in enumerate(axes)]
    extents, ranges = [axis.extent for axis in axes], [2 * axis.window - 1 for axis in axes]
    counts, widths = [table.queries.shape[1] for table in tables], [axis.tile for axis in axes]
    home = _flat([table.place[None] // width for table, width in zip(tables, widths, strict=True)], counts)
    lane = _flat([table.place[None] % width for table, width in zip(tables, widths, strict=True)], widths)
    return Tiles(
        _flat([table.queries for table in tables], extents),
        _flat([table.keys for table in tables], extents),
        reduce(lambda left, right: _outer(left, right, and_), [table.seen for table in tables]),
        _flat([table.offset for table in tables], ranges),
        (home * prod(widths) + lane)[0],
    )


def _axis_tiles(axis: Axis, size: Int[Tensor, " b"]) -> Tiles:
    """Tiles of one axis. A tile holds neighbours of one dilation class, so that its keys are a run of that class."""
    K, step, tile = axis.window, axis.dilation, axis.tile
    a_class = -(-axis.members // tile)
    index = torch.arange(step * a_class, device=size.device)
    residue, size = (index // a_class)[:, None], size[:, None, None]
    position = (index % a_class * tile)[:, None] + torch.arange(tile, device=size.device)
    queries = residue + step * position
    start, count = _window(axis, position, residue, size)
    slot = start[..., :1] + torch.arange(axis.shared, device=size.device)
    seen = (slot[..., None, :] >= start[..., None]) & (slot[..., None, :] < (start + count)[..., None])
    keys = residue + step * slot
    keys = keys % size.clamp(min=1) if axis.periodic else keys.clamp(max=axis.extent - 1)
    offset = (slot[..., None, :] - position[..., None] + K - 1).clamp(0, 2 * K - 2)
    token = torch.arange(axis.extent, device=size.device)
    return Tiles(
        queries.clamp(max=axis.extent - 1)[None],
        keys,
        seen & (queries < size)[..., None],
        offset,
        token % step * (a_class * tile) + token // step,
    )


def _window(axis: Axis, position: Tensor, residue: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
    """First member of the class that each query attends, and how many; a ring's may be below zero."""
    K, step = axis.window, axis.dilation
    if axis.periodic:
        ring = size // torch.gcd(size, torch.full_like(size, step))
        return position - ring.clamp(max=K) // 2, ring.clamp(max=K)
    if axis.causal:
        start = (position - K + 1).clamp(min=0)[None]
        return start, position - start + 1
    members = (size - residue + step - 1) // step
    return torch.minimum(position - K // 2, members - K).clamp(min=0), members.clamp(0, K)


def _flat(indices: list[Tensor], extents: list[int]) -> Tensor:
    """Row-major index of every combination of axis indices."""
    flat = indices[0]
    for index, extent in zip(indices[1:], extents[1:], strict=True):
        flat = _outer(flat * extent, index, torch.add)
    return flat


def _outer(left: Tensor, right: Tensor, join: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Every left entry with every right one, axis by axis after the first, which both share."""
    for dim in range(1, left.ndim):
        left, right = left.unsqueeze(2 * dim), right.unsqueeze(2 * dim - 1)
    joined = join(left, right)
    for dim in range(1, joined.ndim // 2 + 1):
        joined = joined.flatten(dim, dim + 1)
    return joined
