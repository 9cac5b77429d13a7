"""Which keys each query of an attention sees."""

from dataclasses import dataclass
from functools import reduce

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from armillary.core.mixers.sequences import number_runs
from armillary.core.tokens import Tokens


@dataclass(frozen=True)
class Visibility:
    """Pairs of query and key that may meet.

    pairs: True where the query sees the key; None when it sees all, or all up to itself if `plainly_causal`.
    seen: True for a query that sees any key; None when all do.
    onward: keys that the tokens after these will see; None when all.
    """

    pairs: Bool[Tensor, "#b 1 q k"] | None = None
    seen: Bool[Tensor, "#b 1 q 1"] | None = None
    onward: Bool[Tensor, "b k"] | None = None
    plainly_causal: bool = False

    def safe_pairs(self) -> Bool[Tensor, "#b 1 q k"] | None:
        """The pairs, with every key for a query that sees none: a softmax over nothing is NaN."""
        return self.pairs if self.pairs is None or self.seen is None else self.pairs | ~self.seen

    def silence_blind(self, mixed: Float[Tensor, "b q d"]) -> Float[Tensor, "b q d"]:
        """Zeros for the queries that see no key."""
        return mixed if self.seen is None else mixed * self.seen[:, 0].to(mixed.dtype)

    def softmax(self, scores: Float[Tensor, "b h q k"]) -> Float[Tensor, "b h q k"]:
        """Weights over the visible keys; zeros for the queries that see none."""
        queries, keys = scores.shape[-2:]
        pairs = _not_after(queries, keys, scores.device) if self.plainly_causal else self.safe_pairs()
        weights = (scores if pairs is None else scores.masked_fill(~pairs, -torch.inf)).softmax(-1)
        return weights if self.seen is None else weights * self.seen.to(weights.dtype)


def self_visibility(tokens: Tokens, causal: bool, past: int, past_visible: Tensor | None) -> Visibility:
    """Of tokens among themselves and the `past` keys before them: real ones, of the same run, not later if causal."""
    length, runs = tokens.values.shape[1], number_runs(tokens)
    real = _real_keys(tokens, past, past_visible)
    if causal and past == 0 and real is None and runs is None:
        return Visibility(plainly_causal=True)
    parts = [] if real is None else [real[:, None, None]]
    if causal and length > 1:
        parts.append(_not_after(length, past + length, tokens.values.device))
    onward = real
    if runs is not None:
        places = functional.pad(runs, (past, 0))
        parts.append((runs[:, :, None] == places[:, None, :])[:, None])
        latest = places == runs[:, -1:]
        onward = latest if real is None else real & latest
    pairs = reduce(torch.logical_and, parts) if parts else None
    return Visibility(pairs, _seen(pairs) if real is not None else None, onward)


def cross_visibility(tokens: Tokens, context: Tokens) -> Visibility:
    """Of tokens towards a context: its real tokens, and where both are packed those of the same segment number."""
    parts = [] if context.mask is None else [context.mask[:, None, None]]
    if context.values.shape[1] == 0:
        parts.append(torch.zeros(1, 1, tokens.values.shape[1], 0, dtype=torch.bool, device=tokens.values.device))
    if tokens.segments is not None and context.segments is not None:
        parts.append((tokens.segments[:, :, None] == context.segments[:, None, :])[:, None])
    pairs = reduce(torch.logical_and, parts) if parts else None
    return Visibility(pairs, _seen(pairs))


def _real_keys(tokens: Tokens, past: int, past_visible: Tensor | None) -> Tensor | None:
    if tokens.mask is None and past_visible is None:
        return None
    batch, length = tokens.values.shape[:2]
    ones = torch.ones(batch, past + length, dtype=torch.bool, device=tokens.values.device)
    before = ones[:, :past] if past_visible is None else past_visible
    return torch.cat([before, ones[:, past:] if tokens.mask is None else tokens.mask], dim=1)


def _seen(pairs: Tensor | None) -> Tensor | None:
    return None if pairs is None else pairs.any(-1, keepdim=True)


def _not_after(queries: int, keys: int, device: torch.device) -> Tensor:
    """True where a key is not later than the query (1 1 q k); the last query stands at the last key."""
    return torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)[None, None]
