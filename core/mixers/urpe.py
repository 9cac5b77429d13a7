"""Attention with a learned factor of the distance behind the softmax (URPE)."""

from math import log
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from armillary.core.config.mixers import AttentionSettings, URPESettings
from armillary.core.mixers.attention import Attention, AttentionState, token_places
from armillary.core.mixers.protocol import Capabilities
from armillary.core.mixers.sequences import refuse_unsupported
from armillary.core.mixers.statespace import undecayed
from armillary.core.ops.precision import accumulation_dtype
from armillary.core.tokens import Grid, Tokens


class URPEState(NamedTuple):
    """Keys and values so far, and where each of them stands."""

    attention: AttentionState
    places: Float[Tensor, "b s"]


class URPE(nn.Module):
    """(softmax(q k^T / sqrt(e) + B) ∘ C) v in every head; B and C are learned functions of the distance i - j.

    A softmax over relative positions alone cannot tell where a token stands: its rows sum to one whatever B is. C,
    all ones at first, lifts that. The distance is counted in tokens and clipped at `reach`, or is the difference of
    the first coordinate of the positions, signed, in buckets of equal ratio between `shortest` and `longest`; tokens
    without positions then stand at their number. A causal mixer keeps the distances to the past only, and a time that
    runs backwards counts as none. B is zero, and absent unless `distance_bias` is set.

    No fused kernel multiplies behind the softmax, so the weights are kept: memory grows with h·l².

    References:
        Luo et al. 2022, "Your transformer may not be as powerful as you expect" (universal relative positions).
    """

    def __init__(self, width: int, settings: URPESettings) -> None:
        super().__init__()
        self.settings, self.counts = settings, settings.distance == "tokens"
        plain = AttentionSettings(heads=settings.heads, causal=settings.causal, bias=settings.bias)
        self.attention = Attention(width, plain)
        distances = settings.reach + 1 if settings.causal else 2 * settings.reach + 1
        self.factor = undecayed(torch.ones(distances, settings.heads))
        self.term = undecayed(torch.zeros(distances, settings.heads)) if settings.distance_bias else None
        self.capabilities = Capabilities(
            causal=settings.causal,
            streaming=settings.causal,
            cost_order="l^2",
            irregular_positions=not self.counts,
            packed_segments=True,
        )

    def forward(
        self, tokens: Tokens, state: URPEState | None = None, context: Tokens | None = None
    ) -> tuple[Float[Tensor, "b l d"], URPEState | None]:
        refuse_unsupported("urpe", self.capabilities, tokens, state, context)
        before = None if state is None else state.attention
        queries, keys, values, visibility, after = self.attention.prepare(tokens, before, None)
        here = self._places(tokens, before)
        places = here if state is None else torch.cat([state.places.to(here.dtype), here], dim=1)
        # Without positions or a past, all rows stand alike: one of them is enough.
        rows = slice(1 if before is None and (self.counts or tokens.positions is None) else None)
        buckets = self._buckets(here[rows, :, None] - places[rows, None, :])
        dtype = accumulation_dtype(queries)
        scores = (queries @ keys.mT).to(dtype) * queries.shape[-1] ** -0.5
        if self.term is not None:
            scores = scores + _looked_up(self.term, buckets).to(dtype)
        weights = visibility.softmax(scores) * _looked_up(self.factor, buckets).to(dtype)
        mixed = self.attention.out((weights.to(values.dtype) @ values).transpose(1, 2).flatten(2))
        return visibility.silence_blind(mixed), None if after is None else URPEState(after, places)

    def step(self, tokens: Tokens, state: URPEState | None) -> tuple[Float[Tensor, "b l d"], URPEState | None]:
        return self(tokens, state)

    def cost(self, batch: int, length: int, grid: Grid | None = None) -> float:
        """Multiply-adds [MAC]: those of attention, and a factor for each pair in each head."""
        pairs = length * (length + 1) / 2 if self.settings.causal else float(length) * length
        return self.attention.cost(batch, length) + batch * pairs * self.settings.heads

    def _places(self, tokens: Tokens, before: AttentionState | None) -> Float[Tensor, "b l"]:
        offset = None if before is None else before.lengths
        return token_places(Tokens(tokens.values) if self.counts else tokens, offset)

    def _buckets(self, distance: Float[Tensor, "b q k"]) -> Int[Tensor, "b q k"]:
        """The row of the tables that belongs to each distance of query and key."""
        reach = self.settings.reach
        if not self.counts:
            span = log(self.settings.longest / self.settings.shortest)
            ratio = (distance.abs() / self.settings.shortest).clamp(min=1).log() / span
            number = torch.where(distance.abs() < self.settings.shortest, 0, 1 + (ratio * (reach - 1)).floor())
            distance = number * distance.sign()
        least = 0 if self.settings.causal else -reach
        return distance.clamp(least, reach).long() - least


def _looked_up(table: Float[Tensor, "n h"], buckets: Int[Tensor, "b q k"]) -> Float[Tensor, "b h q k"]:
    # A table lookup has a fast backward pass; indexing would add up the gradient pair by pair.
    return functional.embedding(buckets, table).permute(0, 3, 1, 2)
