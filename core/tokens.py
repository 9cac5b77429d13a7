"""Tokens: what every block takes and gives."""

from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils import _pytree as pytree


@dataclass(frozen=True)
class Grid:
    """Extents of a regular grid, one per axis, and which axes wrap around."""

    extents: tuple[int, ...]
    periodic: tuple[bool, ...]

    def __post_init__(self) -> None:
        if len(self.extents) != len(self.periodic):
            raise ValueError(f"grid has {len(self.extents)} extents but {len(self.periodic)} periodic flags")


@dataclass(frozen=True)
class Tokens:
    """A batch of token sequences and what is known about where they lie.

    values: features of each token.
    mask: True for real tokens; None when all are real.
    positions: coordinates in physical units when they are irregular (days, metres, seconds).
    grid: extents when the tokens after the prefix lie on a regular grid, row-major.
    prefix: number of leading tokens (class, text, level) that stand outside the grid.
    segments: sequence number of each token when several sequences are packed into one row.
    """

    values: Float[Tensor, "b l d"]
    mask: Bool[Tensor, "b l"] | None = None
    positions: Float[Tensor, "b l p"] | None = None
    segments: Int[Tensor, "b l"] | None = None
    grid: Grid | None = field(default=None)
    prefix: int = 0

    def with_values(self, values: Float[Tensor, "b l e"]) -> "Tokens":
        """The same places with other features; the width may change, the length may not."""
        return replace(self, values=values)

    def zeroed(self) -> Float[Tensor, "b l d"]:
        """Values with masked tokens set to zero, so that sums over tokens see real ones only."""
        if self.mask is None:
            return self.values
        return self.values * self.mask.unsqueeze(-1).to(self.values.dtype)

    def lengths(self) -> Int[Tensor, " b"]:
        """Number of real tokens in each row."""
        batch, length = self.values.shape[:2]
        if self.mask is None:
            return torch.full((batch,), length, device=self.values.device)
        return self.mask.sum(-1)


_TENSORS = ("values", "mask", "positions", "segments")
_STATIC = tuple(f.name for f in fields(Tokens) if f.name not in _TENSORS)


def _flatten(tokens: Tokens) -> tuple[list[Any], tuple[Any, ...]]:
    return [getattr(tokens, name) for name in _TENSORS], tuple(getattr(tokens, name) for name in _STATIC)


def _unflatten(children: Any, static: tuple[Any, ...]) -> Tokens:
    # Tracing and sharding put placeholders in the leaves, so construction must not check them.
    tokens = object.__new__(Tokens)
    for name, value in zip((*_TENSORS, *_STATIC), (*children, *static), strict=True):
        object.__setattr__(tokens, name, value)
    return tokens


pytree.register_pytree_node(Tokens, _flatten, _unflatten, serialized_type_name="armillary.core.tokens.Tokens")
