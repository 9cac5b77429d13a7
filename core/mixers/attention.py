"""Multi-head attention on torch's fused kernel, with a key-value cache as its state."""

from contextlib import nullcontext
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from armillary.core.config.mixers import AttentionSettings
from armillary.core.embeddings.rotary import apply_rotary
from armillary.core.errors import ConfigError
from armillary.core.mixers.protocol import Capabilities
from armillary.core.mixers.visibility import Visibility, cross_visibility, self_visibility
from armillary.core.tokens import Grid, Tokens


class AttentionState(NamedTuple):
    """Keys and values of the s tokens so far (h heads, e wide), which of them stay visible, and how many are real."""

    keys: Float[Tensor, "b h s e"]
    values: Float[Tensor, "b h s e"]
    visible: Bool[Tensor, "b s"] | None
    lengths: Int[Tensor, " b"]


class Attention(nn.Module):
    """softmax(q k^T / sqrt(e)) v in every head, with q, k, v and the output projections of the width.

    With a context, keys and values come from it, every token sees all of it whether causal or not, and a
    state is handed through. A token that sees no key gives zeros. With `rotary`, queries and keys turn by the
    first coordinate of the positions, else by the number of the token in its row.

    References:
        Vaswani et al. 2017, "Attention is all you need", eq. 1.
    """

    def __init__(self, width: int, settings: AttentionSettings) -> None:
        super().__init__()
        if width % settings.heads:
            raise ConfigError(
                f"attention at width {width} cannot have {settings.heads} heads of equal width.\n"
                "  Choose heads that divide the width."
            )
        self.width, self.settings = width, settings
        self.query = nn.Linear(width, width, bias=settings.bias)
        self.key = nn.Linear(width, width, bias=settings.bias)
        self.value = nn.Linear(width, width, bias=settings.bias)
        self.out = nn.Linear(width, width, bias=settings.bias)
        self.capabilities = Capabilities(
            causal=settings.causal,
            streaming=settings.causal,
            cost_order="l^2",
            irregular_positions=settings.rotary,
            packed_segments=True,
            cross=True,
        )

    def forward(
        self, tokens: Tokens, state: AttentionState | None = None, context: Tokens | None = None
    ) -> tuple[Float[Tensor, "b l d"], AttentionState | None]:
        if state is not None and not self.settings.causal:
            raise ValueError(
                "attention got a state, but as set it is not causal; set causal=true to go on from a state"
            )
        queries, keys, values, visibility, after = self.prepare(tokens, state, context)
        mixed = self.out(self._attend(queries, keys, values, visibility).transpose(1, 2).flatten(2))
        return visibility.silence_blind(mixed), after

    def step(
        self, tokens: Tokens, state: AttentionState | None
    ) -> tuple[Float[Tensor, "b l d"], AttentionState | None]:
        return self(tokens, state)

    def attention_map(self, tokens: Tokens, context: Tokens | None = None) -> Float[Tensor, "b h q k"]:
        """Weights of every key for every query, without dropout; rows sum to one, or are zero where no key is seen."""
        queries, keys, _, visibility, _ = self.prepare(tokens, None, context)
        scores = queries @ keys.transpose(-1, -2) * queries.shape[-1] ** -0.5
        return visibility.softmax(scores)

    def prepare(
        self, tokens: Tokens, state: AttentionState | None, context: Tokens | None
    ) -> tuple[
        Float[Tensor, "b h q e"],
        Float[Tensor, "b h k e"],
        Float[Tensor, "b h k e"],
        Visibility,
        AttentionState | None,
    ]:
        """Queries, keys and values of every head, which of them meet, and the state to go on from."""
        source = tokens if context is None else context
        offset = None if state is None or context is not None else state.lengths
        queries = self._turn(self._heads(self.query(tokens.values)), tokens, offset)
        keys = self._turn(self._heads(self.key(source.values)), source, offset)
        values = self._heads(self.value(source.values))
        if context is not None:
            return queries, keys, values, cross_visibility(tokens, context), state
        if state is not None:
            keys, values = (torch.cat(pair, dim=2) for pair in ((state.keys, keys), (state.values, values)))
        past = keys.shape[2] - queries.shape[2]
        visibility = self_visibility(tokens, self.settings.causal, past, None if state is None else state.visible)
        if not self.settings.causal:
            return queries, keys, values, visibility, None
        lengths = tokens.lengths() if state is None else state.lengths + tokens.lengths()
        return queries, keys, values, visibility, AttentionState(keys, values, visibility.onward, lengths)

    def cost(self, batch: int, length: int, grid: Grid | None = None) -> float:
        """Multiply-adds [MAC]: four projections, scores and weighted sum; half of the pairs when causal."""
        pairs = length * (length + 1) / 2 if self.settings.causal else float(length) * length
        return batch * (4.0 * length * self.width**2 + 2.0 * pairs * self.width)

    def _attend(self, queries: Tensor, keys: Tensor, values: Tensor, visibility: Visibility) -> Tensor:
        # On a CPU the half-precision kernel's backward pass takes four times as long as the one in single precision.
        slow = queries.device.type == "cpu" and queries.dtype in (torch.bfloat16, torch.float16)
        if slow:
            queries, keys, values = queries.float(), keys.float(), values.float()
        with torch.autocast("cpu", enabled=False) if slow else nullcontext():
            return functional.scaled_dot_product_attention(
                queries,
                keys,
                values,
                attn_mask=visibility.safe_pairs(),
                dropout_p=self.settings.dropout if self.training else 0.0,
                is_causal=visibility.plainly_causal,
            ).to(self.out.weight.dtype if slow else queries.dtype)

    def _heads(self, projected: Tensor) -> Tensor:
        sizes = (self.settings.heads, self.width // self.settings.heads)
        return torch.unflatten(projected, -1, sizes).transpose(1, 2)

    def _turn(self, features: Tensor, tokens: Tokens, offset: Tensor | None) -> Tensor:
        if not self.settings.rotary:
            return features
        return apply_rotary(features, token_places(tokens, offset), self.settings.rotary_base)


def token_places(tokens: Tokens, offset: Int[Tensor, " b"] | None) -> Float[Tensor, "b l"]:
    """First coordinate of the positions, else the number of each token in its row, counting on from the offset."""
    if tokens.positions is not None:
        return tokens.positions[..., 0]
    batch, length = tokens.values.shape[:2]
    index = torch.arange(length, device=tokens.values.device)
    index = index.expand(batch, -1) if offset is None else index + offset[:, None]
    return index.to(torch.float32)
