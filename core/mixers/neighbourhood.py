"""Neighbourhood attention: each token attends the nearest tokens along each axis of a grid, or of a sequence."""

from math import prod
from typing import NamedTuple, TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from armillary.core.config.mixers import NeighbourhoodSettings
from armillary.core.mixers.grids import counted_extents, from_grid, grid_of, row_extents, to_grid
from armillary.core.mixers.heads import head_width, in_heads
from armillary.core.mixers.protocol import Capabilities
from armillary.core.mixers.relative_bias import RelativeBias
from armillary.core.mixers.sequences import extend_back, latest, refuse_unsupported
from armillary.core.ops.neighbourhood import neighbourhood_attention, neighbourhood_cost
from armillary.core.ops.precision import accumulation_dtype, full_precision
from armillary.core.tokens import Grid, Tokens

_Setting = TypeVar("_Setting", int, bool)


class NeighbourhoodState(NamedTuple):
    """Keys and values of the (window - 1) · dilation latest tokens, side by side, and whether they exist (1 or 0)."""

    window: Float[Tensor, "b k f"]


class Neighbourhood(nn.Module):
    """softmax(q k^T / sqrt(e) + bias) v over `window` keys along each axis, `dilation` apart, in every head.

    At a border the window shifts inwards; on a periodic axis it wraps; on a causal axis it ends at the token. An axis
    shorter than its window is seen as a whole. The grid of a row is the block, from its first token on, that holds its
    real tokens. Causal on a sequence, it streams; blocks with and without dilation alternate as in `dilated_pattern`.

    References:
        Hassani et al. 2023, "Neighborhood attention transformer", eq. 2-4.
        Hassani and Shi 2022, "Dilated neighborhood attention transformer", eq. 2.
    """

    def __init__(self, width: int, settings: NeighbourhoodSettings) -> None:
        super().__init__()
        self.width, self.settings = width, settings
        self.head_width = head_width("neighbourhood", width, settings.heads)
        self.qkv = nn.Linear(width, 3 * width, bias=settings.bias)
        self.out = nn.Linear(width, width, bias=settings.bias)
        self.relative_bias = None
        if settings.relative_bias and settings.rank is not None:
            self.relative_bias = RelativeBias(settings.heads, _for_axes(settings.window, settings.rank))
        causal = settings.causal if isinstance(settings.causal, bool) else all(settings.causal)
        self.capabilities = Capabilities(
            causal=causal, streaming=causal and 1 in settings.ranks, cost_order="l", grid_ranks=settings.ranks
        )

    def forward(
        self, tokens: Tokens, state: NeighbourhoodState | None = None, context: Tokens | None = None
    ) -> tuple[Float[Tensor, "b l d"], NeighbourhoodState | None]:
        refuse_unsupported("neighbourhood", self.capabilities, tokens, state, context)
        grid = grid_of(tokens, "neighbourhood", self.settings.ranks)
        q, k, v = in_heads(self.qkv, tokens.values, self.settings.heads)
        if self.capabilities.streaming and len(grid.extents) == 1:
            mixed, after = self._stream(q, k, v, tokens.mask, grid, state)
            return self.out(mixed.flatten(2)), after
        if state is not None:
            raise ValueError(
                f"neighbourhood got a state on a grid of extents {grid.extents}, which it takes whole; "
                "give pieces of a sequence, or the whole grid without a state"
            )
        return self.out(self._attend(q, k, v, tokens, grid).flatten(2)), None

    def step(
        self, tokens: Tokens, state: NeighbourhoodState | None
    ) -> tuple[Float[Tensor, "b l d"], NeighbourhoodState | None]:
        return self(tokens, state)

    def cost(self, batch: int, length: int, grid: Grid | None = None) -> float:
        """Multiply-adds [MAC]: four projections, and a full window of keys for every token."""
        extents = counted_extents(length, grid, self.settings.ranks)
        windows = _for_axes(self.settings.window, len(extents))
        seen = tuple(int(min(pair)) for pair in zip(windows, extents, strict=True))
        projections = 4.0 * batch * length * self.width**2
        return projections + neighbourhood_cost(batch, (length,), self.settings.heads, self.head_width, seen)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, tokens: Tokens, grid: Grid) -> Float[Tensor, "b l h e"]:
        """The op on the grid, which is padded where an axis is shorter than its window."""
        if prod(grid.extents) == 0:
            return v
        rank, batch = len(grid.extents), q.shape[0]
        window, dilation = (_for_axes(value, rank) for value in (self.settings.window, self.settings.dilation))
        sizes, mask = row_extents(tokens, grid), None if tokens.mask is None else to_grid(tokens.mask, grid)
        q, k, v = (to_grid(tensor, grid) for tensor in (q, k, v))
        reach = (size * step for size, step in zip(window, dilation, strict=True))
        missing = [max(0, span - extent) for span, extent in zip(reach, grid.extents, strict=True)]
        if any(missing):
            ends = [end for amount in reversed(missing) for end in (0, amount)]
            if sizes is None:
                sizes = torch.tensor(grid.extents, device=q.device).expand(batch, -1)
            q, k, v = (functional.pad(tensor, [0, 0, 0, 0, *ends]) for tensor in (q, k, v))
            mask = None if mask is None else functional.pad(mask, ends)
        mixed = neighbourhood_attention(
            q,
            k,
            v,
            None if self.relative_bias is None else self.relative_bias.table,
            mask,
            sizes,
            window=window,
            dilation=dilation,
            causal=_for_axes(self.settings.causal, rank),
            periodic=grid.periodic,
        )
        for axis, extent in enumerate(grid.extents, start=1):
            mixed = mixed.narrow(axis, 0, extent)
        return from_grid(mixed, grid)

    def _stream(
        self,
        q: Float[Tensor, "b l h e"],
        k: Float[Tensor, "b l h e"],
        v: Float[Tensor, "b l h e"],
        mask: Bool[Tensor, "b l"] | None,
        grid: Grid,
        state: NeighbourhoodState | None,
    ) -> tuple[Float[Tensor, "b l h e"], NeighbourhoodState]:
        """Outputs that go on from the state's keys and values, and the state after the last real token."""
        (window,), (dilation,) = (_for_axes(value, 1) for value in (self.settings.window, self.settings.dilation))
        reach, (batch, length) = (window - 1) * dilation, q.shape[:2]
        real = q.new_ones(batch, length, 1) if mask is None else mask[..., None].to(q.dtype)
        rows = torch.cat((k.flatten(2), v.flatten(2), real), dim=-1)
        extended = extend_back(rows, None if state is None else state.window, reach)
        after = NeighbourhoodState(latest(extended, mask, reach))
        if length == 1 and not grid.periodic[0]:
            return self._one(q, extended[:, ::dilation]), after
        if state is None:
            return self._attend(q, k, v, Tokens(rows, mask), grid), after
        keys, values, real = extended.split((self.width, self.width, 1), dim=-1)
        q = functional.pad(q, (0, 0, 0, 0, reach, 0))
        past = Grid((reach + length,), grid.periodic)
        mixed = self._attend(q, self._heads(keys), self._heads(values), Tokens(keys, real[..., 0] > 0), past)
        return mixed[:, reach:], after

    def _one(self, q: Float[Tensor, "b 1 h e"], seen: Float[Tensor, "b k f"]) -> Float[Tensor, "b 1 h e"]:
        """Attention of one query to the keys and values side by side that its window holds, the oldest first."""
        dtype = accumulation_dtype(q)
        keys, values, real = seen.split((self.width, self.width, 1), dim=-1)
        with full_precision(q):
            scores = torch.einsum("bihe,bkhe->bhik", q.to(dtype), self._heads(keys).to(dtype)) * self.head_width**-0.5
            if self.relative_bias is not None:
                scores = scores + self.relative_bias.table[:, None, : seen.shape[1]].to(dtype)
            blind = (real[..., 0] == 0)[:, None, None]
            weights = scores.masked_fill(blind, torch.finfo(dtype).min).softmax(-1).masked_fill(blind, 0)
            return torch.einsum("bhik,bkhe->bihe", weights, self._heads(values).to(dtype)).to(q.dtype)

    def _heads(self, features: Float[Tensor, "b l d"]) -> Float[Tensor, "b l h e"]:
        return features.unflatten(-1, (self.settings.heads, self.head_width))


def _for_axes(setting: _Setting | tuple[_Setting, ...], rank: int) -> tuple[_Setting, ...]:
    return setting if isinstance(setting, tuple) else (setting,) * rank
