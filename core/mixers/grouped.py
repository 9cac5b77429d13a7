"""Attention that is quadratic within groups of tokens and linear between them, without a softmax."""

from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from armillary.core.mixers.dropout import Dropout, draw_kept
from armillary.core.ops.products import is_fast, multiply


class Keys(NamedTuple):
    """Queries and keys within the group (near) and beyond it (far), n numbers a token.

    Near queries are scaled already, and so are far keys: by one over the number of tokens that the sum runs over.
    Keys of masked tokens are zero, which takes them out of every sum.
    """

    near_queries: Float[Tensor, "b l n"]
    near_keys: Float[Tensor, "b l n"]
    far_queries: Float[Tensor, "b l n"]
    far_keys: Float[Tensor, "b l n"]


def grouped_attention(
    keys: Keys,
    values: Float[Tensor, "b l e"],
    sums: Float[Tensor, "b n e"] | None = None,
    *,
    group: int,
    causal: bool = False,
    dropout: float = 0.0,
) -> tuple[Float[Tensor, "b l e"], Float[Tensor, "b n e"]]:
    """y_i = Σ_j relu(q_i·k_j)² v_j + q'_i M with j in the group of i, and the sums M = Σ_j k'_j v_jᵀ over all tokens.

    Causal: j up to i, and M over earlier groups only, `sums` before the first; the sums that are given back are
    without a last group that is not full. Dropout falls on the weights relu(q·k)², as in the released code.

    References:
        Hua et al. 2022, "Transformer quality in linear time", section 3 (mixed chunk attention).
    """
    if sums is None:
        sums = values.new_zeros(values.shape[0], keys.far_keys.shape[2], values.shape[2])
    if values.shape[1] == 0:
        return values, sums
    if all(map(is_fast, (*keys, values, sums))):
        results = _Grouped.apply(*keys, values, sums, group, causal, dropout)  # pyright: ignore[reportUnknownMemberType]
        return cast(tuple[Tensor, Tensor], results)
    return _batched(keys, values, sums, group, causal, dropout)


def _batched(
    keys: Keys, values: Tensor, sums: Tensor, group: int, causal: bool, dropout: float
) -> tuple[Tensor, Tensor]:
    """All groups at once in plain torch, the last one filled up with zeros."""
    length = values.shape[1]
    # Written so that the exporter of torch can follow it for any length.
    number = (length + group - 1) // group
    full = length // group if causal else number
    near_queries, near_keys, far_queries, far_keys, values = (
        functional.pad(part, (0, 0, 0, group - 1)).unfold(1, group, group).mT for part in (*keys, values)
    )
    weights = (near_queries @ near_keys.mT).relu().square()
    weights = Dropout(dropout)(weights)
    if causal:
        weights = weights.tril()
    gained = far_keys.mT @ values
    total = sums + gained[:, :full].sum(1)
    seen = total.unsqueeze(1)
    if causal:
        seen = sums.unsqueeze(1) + functional.pad(gained[:, :-1], (0, 0, 0, 0, 1, 0)).cumsum(1)
    mixed = weights @ values + far_queries @ seen
    places = torch.arange(length, device=values.device)
    return mixed.flatten(1, 2).index_select(1, places).to(values.dtype), total


class _Grouped(torch.autograd.Function):
    """One group after another by the fast product; weights are computed again in the backward pass."""

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any,
        near_queries: Tensor,
        near_keys: Tensor,
        far_queries: Tensor,
        far_keys: Tensor,
        values: Tensor,
        sums: Tensor,
        group: int,
        causal: bool,
        dropout: float,
    ) -> tuple[Tensor, Tensor]:
        keys = Keys(near_queries, near_keys, far_queries, far_keys)
        kept, scale = _draw(keys, group, dropout)
        mixed, total = torch.empty_like(values, memory_format=torch.contiguous_format), sums.clone()
        for row in range(len(values)):
            mine, v, m = Keys(*(part[row] for part in keys)), values[row], total[row]
            if not causal:
                m += multiply(mine.far_keys.T, v.T)
            for span in _spans(len(v), group):
                weights = _weights(mine, span, causal, None if kept is None else kept[row], scale)[1]
                far = multiply(mine.far_queries[span], m.T)
                torch.add(multiply(weights, v[span].T), far, out=mixed[row, span])
                if causal and span.stop - span.start == group:
                    m += multiply(mine.far_keys[span].T, v[span].T)
        ctx.group, ctx.causal, ctx.scale = group, causal, scale
        ctx.save_for_backward(*keys, values, sums if causal else total, kept)
        return mixed, total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, grad_total: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        *parts, values, sums, kept = ctx.saved_tensors
        keys, grad, grad_sums = Keys(*parts), grad.contiguous(), grad_total.clone()
        grads = Keys(*map(torch.empty_like, keys))
        grad_values = torch.empty_like(values)
        for row in range(len(values)):
            mine, slopes = (Keys(*(part[row] for part in some)) for some in (keys, grads))
            state = _Row(mine, slopes, values[row], grad[row], grad_values[row], sums[row], grad_sums[row])
            spans = list(_spans(len(values[row]), ctx.group))
            for span in spans:
                weights = _weights(mine, span, ctx.causal, None if kept is None else kept[row], ctx.scale)
                state.near(span, *weights)
            state.far_causal(spans, ctx.group) if ctx.causal else state.far()
        return (*grads, grad_values, grad_sums, None, None, None)


class _Row(NamedTuple):
    """One sequence in the backward pass: what is known of it, and gradients to be written."""

    keys: Keys
    slopes: Keys
    values: Tensor
    grad: Tensor
    grad_values: Tensor
    sums: Tensor
    grad_sums: Tensor

    def near(self, span: slice, rectified: Tensor, weights: Tensor, factor: Tensor | None) -> None:
        """Within a group. The slope of relu(s)² is 2 relu(s)."""
        slope = multiply(self.grad[span], self.values[span]).mul_(rectified).mul_(2)
        if factor is not None:
            slope.mul_(factor)
        self.slopes.near_queries[span] = multiply(slope, self.keys.near_keys[span].T)
        self.slopes.near_keys[span] = multiply(slope.T, self.keys.near_queries[span].T)
        self.grad_values[span] = multiply(weights.T, self.grad[span].T)

    def far(self) -> None:
        """Through the sums over all tokens."""
        self.grad_sums.add_(multiply(self.keys.far_queries.T, self.grad.T))
        self.slopes.far_queries.copy_(multiply(self.grad, self.sums))
        self.slopes.far_keys.copy_(multiply(self.values, self.grad_sums))
        self.grad_values.add_(multiply(self.keys.far_keys, self.grad_sums.T))

    def far_causal(self, spans: list[slice], group: int) -> None:
        """Through the sums over earlier groups, which are computed again; their gradients come from later groups."""
        sums = self.sums.clone()
        for span in spans:
            self.slopes.far_queries[span] = multiply(self.grad[span], sums)
            sums += multiply(self.keys.far_keys[span].T, self.values[span].T)
        for span in reversed(spans):
            if span.stop - span.start == group:
                self.slopes.far_keys[span] = multiply(self.values[span], self.grad_sums)
                self.grad_values[span] += multiply(self.keys.far_keys[span], self.grad_sums.T)
            else:
                self.slopes.far_keys[span] = 0
            self.grad_sums.add_(multiply(self.keys.far_queries[span].T, self.grad[span].T))


def _spans(length: int, group: int) -> Iterator[slice]:
    return (slice(start, min(start + group, length)) for start in range(0, length, group))


def _draw(keys: Keys, group: int, dropout: float) -> tuple[Tensor | None, float]:
    """Which weights are kept (b l group), and the factor that makes up for the others."""
    if dropout == 0:
        return None, 1.0
    batch, length, _ = keys.near_keys.shape
    return draw_kept(keys.near_keys.new_empty(batch, length, group), dropout)


def _weights(
    keys: Keys, span: slice, causal: bool, kept: Tensor | None, scale: float
) -> tuple[Tensor, Tensor, Tensor | None]:
    """relu(s) with s = q·k of a group, the weights that are its square times a factor, and the factor."""
    rectified = multiply(keys.near_queries[span], keys.near_keys[span]).relu_()
    if causal:
        rectified.tril_()
    weights = rectified.square()
    if kept is None:
        return rectified, weights, None
    factor = kept[span, : len(weights)] * scale
    return rectified, weights.mul_(factor), factor
