"""Gated attention within groups and beyond them, behind convolutional projections: the mixer of MossFormer."""

from typing import Any, NamedTuple, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from armillary.core.config.mixers import GatedAttentionSettings
from armillary.core.errors import ConfigError
from armillary.core.mixers.conv_map import ConvMap
from armillary.core.mixers.grouped import Keys, grouped_attention
from armillary.core.mixers.open_group import GroupState, Settled, attend_onwards
from armillary.core.mixers.protocol import Capabilities
from armillary.core.mixers.sequences import extend_back, latest, refuse_unsupported
from armillary.core.mixers.unit_norms import divided, division_slope, unit_rms
from armillary.core.tokens import Grid, Tokens

_EPS = 1e-5  # below which a token counts as silent, in the norm before the last projection


class GatedAttentionState(NamedTuple):
    """What the token shift (nothing without it) and the convolutions look back on, and the state of the attention."""

    shift: Float[Tensor, "b m s"]
    hidden: Float[Tensor, "b k e"]
    query: Float[Tensor, "b k n"]
    out: Float[Tensor, "b k d"]
    groups: GroupState


class GatedAttention(nn.Module):
    """out((u' v) sigmoid(v' u)), where [v, u] = hidden(x) and [v', u'] is what attention makes of [v, u].

    All projections are a `ConvMap`. One attention serves both halves: relu(q·k / g)² within groups of g tokens, linear
    beyond, Σ_j (q'·k'_j / l) v_j over the l real tokens. The four queries and keys are scaled and shifted copies of one
    narrow projection, turned by the number of the token. `token_shift` moves half of the features one token later.
    Causal: earlier groups only in the linear part, divided by g, and convolutions that look back.

    References:
        Zhao and Ma 2023, "MossFormer: pushing the performance limit of monaural speech separation using gated
        single-head transformer with convolution-augmented joint self-attentions".
    """

    def __init__(self, width: int, settings: GatedAttentionSettings) -> None:
        super().__init__()
        if settings.expand * width % 2:
            raise ConfigError(
                f"gated_attention at width {width} cannot halve {settings.expand} times as many features.\n"
                "  Choose an even width or an even expand."
            )
        self.width, self.settings, narrow = width, settings, settings.query_width
        options: dict[str, Any] = {
            "kernel": settings.kernel,
            "dropout": settings.dropout,
            "causal": settings.causal,
        }
        self.hidden = ConvMap(width, settings.expand * width, **options)
        self.query = ConvMap(width, narrow, **options)
        self.scales = nn.Parameter(torch.empty(4, narrow).normal_(std=0.02))
        self.shifts = nn.Parameter(torch.zeros(4, narrow))
        self.out = ConvMap(settings.expand * width // 2, width, **options)
        causal = settings.causal
        self.capabilities = Capabilities(causal=causal, streaming=causal, cost_order="l")

    def forward(
        self, tokens: Tokens, state: GatedAttentionState | None = None, context: Tokens | None = None
    ) -> tuple[Float[Tensor, "b l d"], GatedAttentionState | None]:
        refuse_unsupported("gated_attention", self.capabilities, tokens, state, context)
        mask, before = tokens.mask, (None,) * 5 if state is None else state
        values, shift = self._shifted(tokens.zeroed(), mask, before[0])
        normed = unit_rms(values)
        hidden, hidden_after = self.hidden(normed, mask, before[1])
        narrow, query_after = self.query(normed, mask, before[2])
        groups = before[4]
        keys = self._keys(narrow, mask, None if groups is None else groups.counts)
        mixed, groups = self._attend(keys, hidden, tokens, groups)
        output, out_after = self.out(_gated(hidden, mixed), mask, before[3])
        output = output.to(tokens.values.dtype)
        if groups is None:
            return output, None
        return output, GatedAttentionState(shift, hidden_after, query_after, out_after, groups)

    def step(
        self, tokens: Tokens, state: GatedAttentionState | None
    ) -> tuple[Float[Tensor, "b l d"], GatedAttentionState | None]:
        return self(tokens, state)

    def cost(self, batch: int, length: int, grid: Grid | None = None) -> float:
        """Multiply-adds [MAC]: projections, attention within full groups, and the sums beyond them."""
        projections = sum(part.cost(batch, length) for part in (self.hidden, self.query, self.out))
        narrow, wide = self.settings.query_width, self.settings.expand * self.width
        near = min(self.settings.group, length) * (narrow + wide)
        return projections + float(batch) * length * (near + 2 * narrow * wide)

    def _shifted(
        self, values: Tensor, mask: Tensor | None, before: Tensor | None
    ) -> tuple[Float[Tensor, "b l d"], Float[Tensor, "b m s"]]:
        """The first half of the features one token later, and that of the last real token; no token without shift."""
        moved, kept = values.chunk(2, dim=-1)
        if not self.settings.token_shift:
            return values, moved[:, :0]
        extended = extend_back(moved, before, 1)
        shifted = torch.cat([extended[:, :-1], kept], dim=-1)
        return shifted, latest(extended, mask, 1)

    def _keys(self, narrow: Tensor, mask: Tensor | None, counts: Tensor | None) -> Keys:
        """Queries and keys, scaled by one over the tokens that their sum runs over; keys of masked tokens are zero."""
        group, rotary = self.settings.group, min(self.settings.rotary_width, self.settings.query_width)
        spread = torch.addcmul(self.shifts[:, None], narrow.unsqueeze(1), self.scales[:, None])
        spread = turned(spread, rotary // 2 * 2, self.settings.rotary_base, counts)
        near_queries, far_queries, near_keys, far_keys = spread.unbind(1)
        if mask is not None:
            real = mask.unsqueeze(-1).to(spread.dtype)
            near_keys, far_keys = near_keys * real, far_keys * real
        number: Tensor | float = group
        if not self.settings.causal:
            number = max(narrow.shape[1], 1) if mask is None else mask.sum(1).clamp(min=1)[:, None, None]
        return Keys(near_queries / group, near_keys, far_queries, far_keys / number)

    def _attend(
        self, keys: Keys, hidden: Tensor, tokens: Tokens, groups: GroupState | None
    ) -> tuple[Tensor, GroupState | None]:
        dropout = self.settings.attention_dropout if self.training else 0.0
        if self.settings.causal:
            return attend_onwards(keys, hidden, tokens.mask, groups, Settled(self.settings.group, dropout))
        return grouped_attention(keys, hidden, group=self.settings.group, dropout=dropout)[0], None


def turned(
    values: Float[Tensor, "b c l n"], width: int, base: float, counts: Tensor | None = None
) -> Float[Tensor, "b c l n"]:
    """Rotary positions: the pair (2i, 2i + 1) of the first `width` features turns by t base^(-2i / width).

    t is the number of the token, going on from `counts`. Angles are taken in double precision: after an hour of speech
    they would be wrong by a tenth of a radian in single precision.

    References:
        Su et al. 2021, "RoFormer: enhanced transformer with rotary position embedding", eq. 34.
    """
    places = torch.arange(values.shape[2], device=values.device, dtype=torch.float64)
    places = places[None] if counts is None else places + counts[:, None]
    rates = base ** (-torch.arange(0, width, 2, device=values.device, dtype=torch.float64) / width)
    angles = places[:, None, :, None] * rates
    cosine, sine = angles.cos().to(values.dtype), angles.sin().to(values.dtype)
    pairs = values[..., :width].unflatten(-1, (-1, 2))
    first, second = pairs.unbind(-1)
    rotated = torch.stack([first * cosine - second * sine, second * cosine + first * sine], dim=-1)
    return torch.cat([rotated.flatten(-2), values[..., width:]], dim=-1)


def _gated(hidden: Float[Tensor, "b l e"], mixed: Float[Tensor, "b l e"]) -> Float[Tensor, "b l w"]:
    """o / max(rms(o), eps) with o = (u' v) sigmoid(v' u), [v, u] = hidden and [v', u'] = mixed."""
    return cast(Tensor, _Gate.apply(hidden, mixed.to(hidden.dtype)))  # pyright: ignore[reportUnknownMemberType]


class _Gate(torch.autograd.Function):
    """Keeps what goes in and nothing else, which attention keeps anyway."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, mixed: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.save_for_backward(hidden, mixed)
        (v, u), (mixed_v, mixed_u) = hidden.chunk(2, -1), mixed.chunk(2, -1)
        return divided((mixed_v * u).sigmoid_().mul_(mixed_u).mul_(v), _EPS)[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        hidden, mixed = ctx.saved_tensors
        (v, u), (mixed_v, mixed_u) = hidden.chunk(2, -1), mixed.chunk(2, -1)
        grads = torch.empty_like(hidden), torch.empty_like(mixed)
        (grad_v, grad_u), (grad_mixed_v, grad_mixed_u) = (part.chunk(2, -1) for part in grads)
        gate = (mixed_v * u).sigmoid_()
        upstream = division_slope(grad, *divided(gate * mixed_u * v, _EPS), _EPS).mul_(gate)
        torch.mul(upstream, v, out=grad_mixed_u)
        torch.mul(upstream, mixed_u, out=grad_v)
        # sigmoid' = gate (1 - gate), and one gate is in there already.
        slope = gate.neg_().add_(1).mul_(grad_v).mul_(v)
        torch.mul(slope, mixed_v, out=grad_u)
        torch.mul(slope, u, out=grad_mixed_v)
        return grads
