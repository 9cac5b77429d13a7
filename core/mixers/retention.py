"""Retention: attention whose softmax gives way to a fixed decay with distance, so that a state can carry it."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from armillary.core.config.mixers import RetentionSettings
from armillary.core.embeddings.rotary import apply_rotary
from armillary.core.mixers.heads import head_width
from armillary.core.mixers.protocol import Capabilities
from armillary.core.mixers.sequences import number_runs, refuse_unsupported
from armillary.core.ops.precision import accumulation_dtype
from armillary.core.ops.scalar_decay import scalar_decay, scalar_decay_cost
from armillary.core.tokens import Grid, Tokens

CHUNK = 32  # counted where the settings leave the chunk to the device


class RetentionState(NamedTuple):
    """What h heads keep (p values wide, n keys wide), and how many real tokens have passed."""

    heads: Float[Tensor, "b h p n"]
    lengths: Int[Tensor, " b"]


class Retention(nn.Module):
    """out(silu(gate(x)) · norm(o)) with o_i = Σ_{j<=i} γ^(i-j) (q_i·k_j / sqrt(e)) v_j, normed in every head by itself.

    Head h decays by γ = 1 - 2^(-5-h). With `rotary`, queries and keys turn by the number of the token in its row,
    as xPos without its scaling, for which γ stands. Masked tokens are as if they were not there: they neither write
    nor let time pass. Not causal: the sum runs over all j, with γ^|i-j|. The row scalings of the paper are left out;
    the norm undoes them.

    References:
        Sun et al. 2023, "Retentive network: a successor to transformer for large language models", eq. 5, 6 and 8.
    """

    def __init__(self, width: int, settings: RetentionSettings) -> None:
        super().__init__()
        self.width, self.settings, self.inner = width, settings, settings.expand * width
        head_width("retention", width, settings.heads)
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, self.inner, bias=False)
        self.gate = nn.Linear(width, self.inner, bias=False)
        self.norm_weight = nn.Parameter(torch.ones(self.inner))
        self.norm_bias = nn.Parameter(torch.zeros(self.inner))
        self.out = nn.Linear(self.inner, width, bias=False)
        causal = settings.causal
        self.capabilities = Capabilities(causal=causal, streaming=causal, cost_order="l", packed_segments=True)

    def forward(
        self, tokens: Tokens, state: RetentionState | None = None, context: Tokens | None = None
    ) -> tuple[Float[Tensor, "b l d"], RetentionState | None]:
        refuse_unsupported("retention", self.capabilities, tokens, state, context)
        before, offset = (None, None) if state is None else state
        queries, keys = (self._turned(project(tokens.values), tokens, offset) for project in (self.query, self.key))
        keys = keys * keys.shape[-1] ** -0.5
        values = torch.unflatten(_silenced(self.value(tokens.values), tokens.mask), -1, (self.settings.heads, -1))
        decay, runs = self._log_decay(values, tokens.mask), number_runs(tokens)
        mixed, heads = scalar_decay(values, decay, keys, queries, before, runs, chunk=self.settings.chunk)
        if not self.settings.causal:
            turned = [tensor.flip(1) for tensor in (values, decay, keys, queries)]
            runs = None if runs is None else runs.flip(1)
            backwards, _ = scalar_decay(*turned, segments=runs, chunk=self.settings.chunk)
            # Both directions hold the token itself.
            mixed = mixed + backwards.flip(1) - (queries * keys).sum(-1, keepdim=True) * values
        gated = functional.silu(self.gate(tokens.values)) * self._norm(mixed)
        lengths = tokens.lengths() if offset is None else offset + tokens.lengths()
        return self.out(gated), RetentionState(heads, lengths) if self.settings.causal else None

    def step(
        self, tokens: Tokens, state: RetentionState | None
    ) -> tuple[Float[Tensor, "b l d"], RetentionState | None]:
        return self(tokens, state)

    def cost(self, batch: int, length: int, grid: Grid | None = None) -> float:
        """Multiply-adds [MAC] of the projections and of one or two recurrences."""
        heads = self.settings.heads
        projections = float(batch) * length * self.width * (2 * self.width + 3 * self.inner)
        chunk = min(self.settings.chunk or CHUNK, length)
        recurrence = scalar_decay_cost(batch, length, heads, self.inner // heads, self.width // heads, heads, chunk)
        return projections + recurrence * (1 if self.settings.causal else 2)

    def _turned(self, projected: Tensor, tokens: Tokens, offset: Tensor | None) -> Tensor:
        """Heads (b l h e) of queries or keys, turned by their positions."""
        heads = torch.unflatten(projected, -1, (self.settings.heads, -1))
        if not self.settings.rotary:
            return heads
        places = _number(tokens, offset)
        return apply_rotary(heads.transpose(1, 2), places, self.settings.rotary_base).transpose(1, 2)

    def _log_decay(self, values: Tensor, mask: Tensor | None) -> Tensor:
        """log γ of every token and head (b l h), zero for a masked token."""
        exponents = torch.arange(self.settings.heads, device=values.device, dtype=accumulation_dtype(values)) + 5
        rates = torch.log1p(-torch.exp2(-exponents))
        return _silenced(rates.expand(*values.shape[:3]), mask)

    def _norm(self, mixed: Tensor) -> Tensor:
        """Group norm, every head of every token by itself (b l c)."""
        dtype = accumulation_dtype(mixed)
        normed = functional.layer_norm(mixed.to(dtype), mixed.shape[-1:], eps=1e-5).flatten(2)
        return (normed * self.norm_weight.to(dtype) + self.norm_bias.to(dtype)).to(mixed.dtype)


def _silenced(features: Tensor, mask: Bool[Tensor, "b l"] | None) -> Tensor:
    """Zero for masked tokens."""
    return features if mask is None else features * mask[..., None].to(features.dtype)


def _number(tokens: Tokens, offset: Tensor | None) -> Tensor:
    """How many real tokens came before each one (b l), counting on from the offset."""
    batch, length = tokens.values.shape[:2]
    if tokens.mask is None:
        index = torch.arange(length, device=tokens.values.device).expand(batch, -1)
    else:
        index = tokens.mask.cumsum(1) - 1
    return (index if offset is None else index + offset[:, None]).to(accumulation_dtype(tokens.values))
