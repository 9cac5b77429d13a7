"""Manhattan attention: weights that decay with the distance along the axes of a grid."""

from functools import reduce

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from armillary.core.config.mixers import ManhattanSettings
from armillary.core.embeddings.rotary import apply_rotary
from armillary.core.mixers.grids import counted_extents, from_grid, grid_of, to_grid
from armillary.core.mixers.heads import head_width
from armillary.core.mixers.protocol import Capabilities, State
from armillary.core.mixers.sequences import refuse_unsupported
from armillary.core.ops.precision import accumulation_dtype
from armillary.core.tokens import Grid, Tokens


class Manhattan(nn.Module):
    """softmax(q k^T / sqrt(e) + log γ · distance) v + conv(v), distance |Δx| + |Δy| + ..., with γ of each head.

    log γ_h = log(1 - 2^(-decay_initial - decay_range · h / heads)). Decomposed: such an attention along the last axis
    acts on v, then one along the axis before it on that result, and so on, all with the same queries and keys. With
    decay "product" the weights are softmax(q k^T / sqrt(e)) · γ^distance, which sum to less than one. Along a periodic
    axis the distance is the shorter way round and the convolution wraps, but not the phases of `rotary`, which go by
    the row-major index.

    References:
        Fan et al. 2024, "RMT: retentive networks meet vision transformers", section 3, which multiplies after the
        softmax; the code its authors released adds before it.
    """

    def __init__(self, width: int, settings: ManhattanSettings) -> None:
        super().__init__()
        self.width, self.settings = width, settings
        self.head_width = head_width("manhattan", width, settings.heads)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width, bias=settings.bias) for _ in range(4))
        self.local = None
        if settings.local and settings.rank is not None:
            self.local = LocalConv(width, settings.local, settings.rank)
        self._initialise()
        self.capabilities = Capabilities(
            causal=False,
            streaming=False,
            cost_order="l axis" if settings.decomposed else "l^2",
            grid_ranks=settings.ranks,
        )

    def forward(
        self, tokens: Tokens, state: State = None, context: Tokens | None = None
    ) -> tuple[Float[Tensor, "b l d"], None]:
        refuse_unsupported("manhattan", self.capabilities, tokens, state, context)
        grid = grid_of(tokens, "manhattan", self.settings.ranks)
        values = self.value(tokens.values)
        q, k, v = (self._heads(features) for features in (self.query(tokens.values), self.key(tokens.values), values))
        q, k = (self._turn(features) for features in (q, k))
        mixed = (
            self._along_axes(q, k, v, tokens, grid) if self.settings.decomposed else self._full(q, k, v, tokens, grid)
        )
        mixed = mixed.flatten(2)
        if self.local is not None:
            mixed = mixed + self.local(tokens.with_values(values).zeroed(), grid)
        return self.out(mixed), None

    def step(self, tokens: Tokens, state: State) -> tuple[Float[Tensor, "b l d"], None]:
        return self(tokens, state)

    def cost(self, batch: int, length: int, grid: Grid | None = None) -> float:
        """Multiply-adds [MAC]: four projections, scores and weighted sums of every pass, and the convolution."""
        extents = counted_extents(length, grid, self.settings.ranks)
        keys = sum(extents) if self.settings.decomposed else float(length)
        taps = self.settings.local ** len(extents) if self.settings.local else 0
        return float(batch) * length * self.width * (4.0 * self.width + 2.0 * keys + taps)

    def _along_axes(self, q: Tensor, k: Tensor, v: Tensor, tokens: Tokens, grid: Grid) -> Float[Tensor, "b l h e"]:
        q, k, v = (to_grid(tensor, grid) for tensor in (q, k, v))
        mask = None if tokens.mask is None else to_grid(tokens.mask, grid)
        for axis in reversed(range(len(grid.extents))):
            distance = _distance(grid.extents[axis], grid.periodic[axis], q.device)
            rows = [tensor.movedim(1 + axis, -3) for tensor in (q, k, v)]
            seen = None if mask is None else mask.movedim(1 + axis, -1)
            v = self._attend(*rows, distance, seen).movedim(-3, 1 + axis)
        return from_grid(v, grid)

    def _full(self, q: Tensor, k: Tensor, v: Tensor, tokens: Tokens, grid: Grid) -> Float[Tensor, "b l h e"]:
        axes = [_distance(*axis, q.device) for axis in zip(grid.extents, grid.periodic, strict=True)]
        return self._attend(q, k, v, reduce(_sum_of_pairs, axes), tokens.mask)

    def _attend(
        self,
        q: Float[Tensor, "*rows n h e"],
        k: Float[Tensor, "*rows n h e"],
        v: Float[Tensor, "*rows n h e"],
        distance: Float[Tensor, "n n"],
        mask: Bool[Tensor, "*rows n"] | None,
    ) -> Float[Tensor, "*rows n h e"]:
        """Attention of n tokens among each other in every row; masked ones get no weight."""
        rows = q.shape[:-3]
        q, k, v = (tensor.flatten(0, -4).transpose(1, 2) for tensor in (q, k, v))
        log_decay = self._log_decay(distance, accumulation_dtype(q))
        bias = log_decay[None] if self.settings.decay == "logit" else torch.zeros_like(log_decay[None])
        if mask is not None:
            # Where nothing is seen a softmax is NaN; nobody reads what it gives there.
            hidden = ~mask & mask.any(-1, keepdim=True)
            bias = bias.masked_fill(hidden.flatten(0, -2)[:, None, None], -torch.inf)
        if self.settings.decay == "logit":
            mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))
        else:
            scores = q @ k.transpose(-1, -2) * self.head_width**-0.5 + bias
            mixed = (scores.softmax(-1) * log_decay.exp()).to(v.dtype) @ v
        return mixed.transpose(1, 2).unflatten(0, rows)

    def _log_decay(self, distance: Float[Tensor, "n n"], dtype: torch.dtype) -> Float[Tensor, "h n n"]:
        heads = torch.arange(self.settings.heads, device=distance.device, dtype=dtype)
        exponent = self.settings.decay_initial + self.settings.decay_range * heads / self.settings.heads
        return torch.log1p(-torch.exp2(-exponent))[:, None, None] * distance.to(dtype)

    def _turn(self, features: Float[Tensor, "b l h e"]) -> Float[Tensor, "b l h e"]:
        if not self.settings.rotary:
            return features
        batch, length = features.shape[:2]
        index = torch.arange(length, device=features.device, dtype=torch.float32).expand(batch, -1)
        return apply_rotary(features.transpose(1, 2), index, self.settings.rotary_base).transpose(1, 2)

    def _heads(self, features: Float[Tensor, "b l d"]) -> Float[Tensor, "b l h e"]:
        return features.unflatten(-1, (self.settings.heads, self.head_width))

    def _initialise(self) -> None:
        for project in (self.query, self.key, self.value):
            nn.init.xavier_normal_(project.weight, gain=2**-2.5)
        nn.init.xavier_normal_(self.out.weight)
        for project in (self.query, self.key, self.value, self.out):
            if self.settings.bias:
                nn.init.zeros_(project.bias)


class LocalConv(nn.Module):
    """A depthwise convolution on a grid, zeros beyond its ends; it wraps along periodic axes."""

    def __init__(self, channels: int, extent: int, rank: int) -> None:
        super().__init__()
        layer = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[rank]
        self.extent, self.conv = extent, layer(channels, channels, extent, groups=channels)

    def forward(self, values: Float[Tensor, "b l d"], grid: Grid) -> Float[Tensor, "b l d"]:
        if values.numel() == 0:
            return values
        half, rank = self.extent // 2, len(grid.extents)
        laid = to_grid(values, grid).movedim(-1, 1)
        for axis, periodic in enumerate(grid.periodic):
            if periodic:
                around = torch.arange(-half, grid.extents[axis] + half, device=values.device) % grid.extents[axis]
                laid = laid.index_select(2 + axis, around)
            else:
                laid = functional.pad(laid, [0, 0] * (rank - 1 - axis) + [half, half])
        return from_grid(self.conv(laid).movedim(1, -1), grid)


def _distance(extent: int, periodic: bool, device: torch.device) -> Float[Tensor, "n n"]:
    """Distance of every pair of tokens along one axis, the shorter way round where it is periodic [tokens]."""
    places = torch.arange(extent, device=device, dtype=torch.float32)
    distance = (places - places[:, None]).abs()
    return torch.minimum(distance, extent - distance) if periodic else distance


def _sum_of_pairs(first: Float[Tensor, "n n"], second: Float[Tensor, "m m"]) -> Float[Tensor, "k k"]:
    """Sum for every pair of tokens of a grid of two axes, row-major, from the pairs along each."""
    return (first[:, None, :, None] + second[None, :, None, :]).flatten(2).flatten(0, 1)
