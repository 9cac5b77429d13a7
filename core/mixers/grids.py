"""What mixers of grids share: which grid the tokens lie on, and moving between rows of tokens and grids of them."""

from collections.abc import Sequence
from math import prod

import torch
from jaxtyping import Int, Shaped
from torch import Tensor
from torch.nn import functional

from armillary.core.tokens import Grid, Tokens


def grid_of(tokens: Tokens, name: str, ranks: Sequence[int]) -> Grid:
    """The grid of the tokens, of a rank that the mixer `name` reads.

    Tokens without a grid lie on one axis that does not wrap, when 1 is among the ranks.

    Raises ValueError for prefix tokens, for another rank, and for extents that do not cover the tokens.
    """
    wanted = " or ".join(str(rank) for rank in ranks)
    length = tokens.values.shape[1]
    if tokens.prefix:
        raise ValueError(
            f"{name} mixes tokens on a grid, got {tokens.prefix} prefix tokens that lie outside of it; "
            "pool the tokens in the head instead of adding a class token"
        )
    if tokens.grid is None and 1 not in ranks:
        raise ValueError(
            f"{name} mixes tokens on a grid of {wanted} axes, got tokens without a grid; "
            "choose an embedding that keeps the axes, or a mixer of sequences"
        )
    grid = tokens.grid or Grid((length,), (False,))
    if len(grid.extents) not in ranks:
        raise ValueError(
            f"{name} mixes tokens on a grid of {wanted} axes, got extents {grid.extents}; "
            f"choose a mixer that reads {len(grid.extents)} axes, or an embedding with another number of them"
        )
    if prod(grid.extents) != length:
        raise ValueError(
            f"{name} got {length} tokens on a grid of extents {grid.extents}, which holds {prod(grid.extents)}; "
            "give the extents of exactly these tokens"
        )
    return grid


def to_grid(values: Shaped[Tensor, "b l *f"], grid: Grid) -> Shaped[Tensor, "b ..."]:
    """Rows of tokens (b, l, ...) laid out on their grid (b, *extents, ...)."""
    return values.reshape(values.shape[0], *grid.extents, *values.shape[2:])


def from_grid(values: Shaped[Tensor, "b ..."], grid: Grid) -> Shaped[Tensor, "b l *f"]:
    """The inverse of `to_grid`."""
    return values.reshape(values.shape[0], prod(grid.extents), *values.shape[1 + len(grid.extents) :])


def row_extents(tokens: Tokens, grid: Grid) -> Int[Tensor, "b r"] | None:
    """Extents of the block, from the grid's first token on, that holds all real tokens of a row; None without a mask.

    A periodic axis keeps the extent of the grid: its period does not depend on what is masked.
    """
    if tokens.mask is None:
        return None
    real, rank = to_grid(tokens.mask, grid), len(grid.extents)
    extents: list[Tensor] = []
    for axis, extent in enumerate(grid.extents):
        if grid.periodic[axis]:
            extents.append(torch.full((real.shape[0],), extent, device=real.device))
            continue
        any_real = real.movedim(1 + axis, 1).flatten(2).any(2) if rank > 1 else real
        numbers = any_real * torch.arange(1, extent + 1, device=real.device)
        extents.append(functional.pad(numbers, (1, 0)).amax(1))
    return torch.stack(extents, 1)


def counted_extents(length: int, grid: Grid | None, ranks: Sequence[int]) -> tuple[float, ...]:
    """Extents that a cost formula counts with: the grid's, else of a sequence, else of the most cubic grid."""
    if grid is not None:
        return tuple(float(extent) for extent in grid.extents)
    rank = 1 if 1 in ranks else min(ranks)
    return (length ** (1 / rank),) * rank
