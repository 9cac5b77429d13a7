"""Neighbourhood attention in plain torch: tiles of queries gather the keys they share, all tiles in one operation.

Axis letters: b batch, n tiles, i queries of a tile, j keys of a tile, h heads, e width of keys, f width of values.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from armillary.core.ops.neighbourhood.axes import Axis, grid_tiles
from armillary.core.ops.precision import accumulation_dtype, full_precision


def neighbourhood_attention_portable(
    q: Float[Tensor, "b *grid h e"],
    k: Float[Tensor, "b *grid h e"],
    v: Float[Tensor, "b *grid h f"],
    bias: Float[Tensor, "h *offsets"] | None,
    mask: Bool[Tensor, "b *grid"] | None,
    extents: Int[Tensor, "b r"] | None,
    window: tuple[int, ...],
    dilation: tuple[int, ...],
    causal: tuple[bool, ...],
    periodic: tuple[bool, ...],
    scale: float,
) -> Float[Tensor, "b *grid h f"]:
    """Small dense attention in every tile, pairs outside the neighbourhoods masked. Memory is linear in the tokens."""
    given, dtype, grid = q.dtype, accumulation_dtype(q), q.shape[1:-2]
    axes = [Axis(*axis) for axis in zip(grid, window, dilation, causal, periodic, strict=True)]
    sizes = torch.tensor([grid], device=q.device) if extents is None else _within(extents, grid)
    tiles = grid_tiles(axes, sizes)
    inside = None if extents is None else _inside(sizes, grid)
    attended = inside if mask is None else mask if inside is None else mask & inside
    with full_precision(q):
        rows = (_rows(q, inside, dtype), _rows(k, attended, dtype), _rows(v, attended, dtype))
        indices = (tiles.queries, tiles.keys, tiles.keys)
        q, k, v = (_gather(tensor, index) for tensor, index in zip(rows, indices, strict=True))
        scores = scale * torch.einsum("bnihe,bnjhe->bhnij", q, k)
        if bias is not None:
            scores = scores + bias.to(dtype).flatten(1)[:, tiles.offset].transpose(0, 1)
        seen = tiles.seen if mask is None else tiles.seen & _gather(mask.flatten(1), tiles.keys)[..., None, :]
        out = torch.einsum("bhnij,bnjhf->bnihf", _weights(scores, seen[:, None]), v)
        out = out.flatten(1, 2).index_select(1, tiles.place)
    return out.unflatten(1, grid).to(given)


def _within(extents: Tensor, grid: torch.Size) -> Tensor:
    """Extents of every row's own grid, at most those of the padded one."""
    return torch.minimum(extents.long(), torch.tensor(grid, device=extents.device)).clamp(min=0)


def _inside(sizes: Tensor, grid: torch.Size) -> Tensor:
    """Which tokens (b *grid) lie in their row's own grid."""
    inside = torch.ones((), dtype=torch.bool, device=sizes.device)
    for axis, extent in enumerate(grid):
        within = torch.arange(extent, device=sizes.device) < sizes[:, axis, None]
        inside = inside[..., None] & within.reshape(-1, *(1,) * axis, extent)
    return inside


def _rows(tensor: Tensor, kept: Tensor | None, dtype: torch.dtype) -> Tensor:
    """Tokens in one row (b l h e); those that do not count are zero, for 0 · inf would be NaN."""
    tensor = tensor.to(dtype)
    tensor = tensor if kept is None else tensor.masked_fill(~kept[..., None, None], 0)
    return tensor.flatten(1, -3)


def _gather(rows: Tensor, index: Tensor) -> Tensor:
    """rows (b l ...) at an index (b n i), the same for all rows where its first axis is 1."""
    batch, length = rows.shape[:2]
    flat = index + length * torch.arange(batch, device=index.device)[:, None, None]
    return rows.flatten(0, 1).index_select(0, flat.flatten()).unflatten(0, flat.shape)


def _weights(scores: Tensor, seen: Tensor) -> Tensor:
    """softmax over the pairs that are seen; zeros where there are none."""
    # The lowest finite number, not -inf: a query that sees nothing would make NaN, which backward cannot undo.
    lowest = torch.finfo(scores.dtype).min
    return functional.softmax(scores.masked_fill(~seen, lowest), -1).masked_fill(~seen, 0)
