"""Fewer or more tokens: merging neighbours and splitting tokens, on a sequence or on a grid."""

from dataclasses import replace
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from armillary.core.tokens import Grid, Tokens


class Merge(nn.Module):
    """A linear map of each block of two neighbours per axis, so that ceil(n / 2) tokens remain of n.

    With `norm`, a layer norm over the features of the whole block comes before the map. Masked tokens and the padding
    of an odd extent count as zeros. A merged token is real if any part is, and stands at the mean of its real parts'
    positions. Prefix tokens stay, as if merged with copies of themselves.

    References:
        Liu et al. 2021, "Swin transformer", section 3.1 (patch merging; its released code has the norm).
    """

    def __init__(self, in_width: int, out_width: int, rank: int, norm: bool = False) -> None:
        super().__init__()
        self.rank, self.parts = rank, 2**rank
        self.norm = nn.LayerNorm(self.parts * in_width) if norm else None
        self.project = nn.Linear(self.parts * in_width, out_width, bias=False)

    def forward(self, tokens: Tokens) -> Tokens:
        places = coarser(tokens, self.rank)
        prefix, values = tokens.prefix, tokens.zeroed()
        merged = _to_blocks(values[:, prefix:], _extents(tokens, self.rank)).flatten(2)
        leading = values[:, :prefix].repeat(1, 1, self.parts)
        blocks = torch.cat((leading, merged), dim=1)
        return places.with_values(self.project(blocks if self.norm is None else self.norm(blocks)))


class Split(nn.Module):
    """A linear map of each token to two children per axis, the inverse of `Merge` in shape.

    With `finer`, tokens from before the matching merge, the children lie where those lay, so that odd extents, masks
    and positions come back; without it extents double and children inherit mask and position. Prefix tokens stay, as
    the mean of their children.
    """

    def __init__(self, in_width: int, out_width: int, rank: int) -> None:
        super().__init__()
        self.rank, self.parts = rank, 2**rank
        self.project = nn.Linear(in_width, self.parts * out_width, bias=False)

    def forward(self, tokens: Tokens, finer: Tokens | None = None) -> Tokens:
        coarse = _extents(tokens, self.rank)
        places = _doubled(tokens, coarse) if finer is None else finer
        children = self.project(tokens.values).unflatten(-1, (self.parts, -1))
        body = _from_blocks(children[:, tokens.prefix :], coarse, _extents(places, self.rank))
        leading = children[:, : tokens.prefix].mean(2)
        return replace(places, values=torch.cat((leading, body), dim=1))


class Widen(nn.Module):
    """A linear map to another width; the places stay."""

    def __init__(self, in_width: int, out_width: int) -> None:
        super().__init__()
        self.project = nn.Linear(in_width, out_width, bias=False)

    def forward(self, tokens: Tokens) -> Tokens:
        return tokens.with_values(self.project(tokens.values))


def coarser(tokens: Tokens, rank: int) -> Tokens:
    """Where ceil(n / 2) tokens per axis stand, with values of no features: what every merge of two neighbours shares.

    Raises ValueError for packed tokens, another rank, and a periodic axis of odd extent.
    """
    extents = _extents(tokens, rank)
    _check_wrap(tokens.grid)
    halves = tuple(-(-extent // 2) for extent in extents)
    return Tokens(
        values=tokens.values.new_empty(tokens.values.shape[0], tokens.prefix + prod(halves), 0),
        mask=_merged_mask(tokens, extents),
        positions=_merged_positions(tokens, extents),
        grid=_resized(tokens.grid, halves),
        prefix=tokens.prefix,
    )


def _extents(tokens: Tokens, rank: int) -> tuple[int, ...]:
    if tokens.segments is not None:
        raise ValueError("packed tokens cannot be resampled, expected one sequence a row; pad the sequences instead")
    extents = tokens.grid.extents if tokens.grid else (tokens.values.shape[1] - tokens.prefix,)
    if len(extents) != rank:
        raise ValueError(
            f"the trunk resamples {rank} axes, got tokens with extents {extents}; set grid_rank={len(extents)}"
        )
    return extents


def _check_wrap(grid: Grid | None) -> None:
    if grid and any(extent % 2 for extent, wraps in zip(grid.extents, grid.periodic, strict=True) if wraps):
        raise ValueError(
            f"a periodic axis of odd extent cannot be halved without breaking its period, got extents {grid.extents} "
            f"with periodic={grid.periodic}; choose an even number of tokens along it"
        )


def _to_blocks(body: Float[Tensor, "b l f"], extents: tuple[int, ...]) -> Float[Tensor, "b m p f"]:
    """The tokens of each block of two per axis, side by side; odd extents are padded with zeros at their end."""
    rank = len(extents)
    padding = [amount for extent in reversed(extents) for amount in (0, extent % 2)]
    batch, _, features = body.shape
    grid = functional.pad(body.reshape(batch, *extents, features), [0, 0, *padding])
    halves = [size for extent in extents for size in (-(-extent // 2), 2)]
    grid = grid.reshape(batch, *halves, features)
    outer, inner = range(1, 2 * rank, 2), range(2, 2 * rank + 1, 2)
    return grid.permute(0, *outer, *inner, 2 * rank + 1).flatten(rank + 1, 2 * rank).flatten(1, rank)


def _from_blocks(
    blocks: Float[Tensor, "b m p f"], coarse: tuple[int, ...], fine: tuple[int, ...]
) -> Float[Tensor, "b l f"]:
    """The inverse of `_to_blocks`: blocks on extents `coarse` laid out on `fine`, the padding cut off."""
    rank = len(coarse)
    batch, _, _, features = blocks.shape
    grid = blocks.reshape(batch, *coarse, *(2,) * rank, features)
    pairs = [axis for i in range(rank) for axis in (1 + i, 1 + rank + i)]
    grid = grid.permute(0, *pairs, 2 * rank + 1)
    for axis in range(1, rank + 1):
        grid = grid.flatten(axis, axis + 1).narrow(axis, 0, fine[axis - 1])
    return grid.flatten(1, rank)


def _real(tokens: Tokens, dtype: torch.dtype) -> Float[Tensor, "b l 1"]:
    if tokens.mask is None:
        return tokens.values.new_ones((*tokens.values.shape[:2], 1), dtype=dtype)
    return tokens.mask.unsqueeze(-1).to(dtype)


def _merged_mask(tokens: Tokens, extents: tuple[int, ...]) -> Tensor | None:
    if tokens.mask is None:
        return None
    real = _to_blocks(_real(tokens, torch.float32)[:, tokens.prefix :], extents)
    return torch.cat((tokens.mask[:, : tokens.prefix], real.sum((2, 3)) > 0), dim=1)


def _merged_positions(tokens: Tokens, extents: tuple[int, ...]) -> Tensor | None:
    if tokens.positions is None:
        return None
    body = slice(tokens.prefix, None)
    real = _real(tokens, tokens.positions.dtype)[:, body]
    total = _to_blocks(tokens.positions[:, body].where(real > 0, 0.0), extents).sum(2)
    mean = total / _to_blocks(real, extents).sum(2).clamp(min=1)
    return torch.cat((tokens.positions[:, : tokens.prefix], mean), dim=1)


def _doubled(tokens: Tokens, coarse: tuple[int, ...]) -> Tokens:
    fine = tuple(2 * extent for extent in coarse)

    def inherit(field: Tensor) -> Tensor:
        body = field[:, tokens.prefix :]
        children = body.unsqueeze(2).expand(-1, -1, 2 ** len(coarse), -1)
        return torch.cat((field[:, : tokens.prefix], _from_blocks(children, coarse, fine)), dim=1)

    mask = None if tokens.mask is None else inherit(_real(tokens, torch.float32)).squeeze(-1) > 0
    positions = None if tokens.positions is None else inherit(tokens.positions)
    grid = _resized(tokens.grid, fine)
    return Tokens(inherit(tokens.values), mask, positions, grid=grid, prefix=tokens.prefix)


def _resized(grid: Grid | None, extents: tuple[int, ...]) -> Grid | None:
    return None if grid is None else Grid(extents, grid.periodic)
