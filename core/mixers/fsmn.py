"""The gated feed-forward memory of MossFormer2: what a recurrence would do, by dilated convolutions."""

from collections.abc import Iterable
from typing import NamedTuple, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from armillary.core.config.mixers import FSMNSettings
from armillary.core.mixers.conv_map import ConvMap
from armillary.core.mixers.instance_norm import RectifiedInstanceNorm
from armillary.core.mixers.protocol import Capabilities
from armillary.core.mixers.sequences import extend_back, latest, refuse_unsupported
from armillary.core.mixers.unit_norms import standardised
from armillary.core.ops.depthwise_conv import depthwise_conv, depthwise_conv_cost
from armillary.core.ops.products import product
from armillary.core.tokens import Grid, Tokens


class FSMNState(NamedTuple):
    """What the convolutions look back on: of the two projections, and of each layer of the memory."""

    written: Float[Tensor, "b k n"]
    gate: Float[Tensor, "b k n"]
    memory: tuple[Tensor, ...]


class FSMN(nn.Module):
    """out(n(b · (a + memory(a)) + y)) with y = n(prelu(W x + c)), and a and b each a `ConvMap` of y.

    n is a layer norm over the features. The memory is two linear maps with a rectifier between them, then `depth`
    dilated convolutions. Inside, everything is `inner` wide.

    References:
        Zhao et al. 2024, "MossFormer2: combining transformer and RNN-free recurrent network for enhanced time-domain
        monaural speech separation".
        Zhang et al. 2015, "Feedforward sequential memory networks: a new structure to learn long-term dependency".
    """

    def __init__(self, width: int, settings: FSMNSettings) -> None:
        super().__init__()
        self.width, self.settings, inner = width, settings, settings.inner
        self.enter, self.leave = nn.Linear(width, inner), nn.Linear(inner, width)
        self.slope = nn.Parameter(torch.full((1,), 0.25))
        self.enter_norm, self.leave_norm = nn.LayerNorm(inner), nn.LayerNorm(inner)
        self.written, self.gate = (
            ConvMap(inner, inner, kernel=settings.conv, dropout=settings.dropout, causal=settings.causal, norm="layer")
            for _ in range(2)
        )
        self.memory = Memory(settings)
        causal = settings.causal
        self.capabilities = Capabilities(causal=causal, streaming=causal, cost_order="l")

    def forward(
        self, tokens: Tokens, state: FSMNState | None = None, context: Tokens | None = None
    ) -> tuple[Float[Tensor, "b l d"], FSMNState | None]:
        refuse_unsupported("fsmn", self.capabilities, tokens, state, context)
        mask, before = tokens.mask, FSMNState(None, None, ()) if state is None else state  # pyright: ignore[reportArgumentType]
        entered = product(tokens.values, self.enter.weight, self.enter.bias)
        entered = self.enter_norm(functional.prelu(entered, self.slope))
        normed = standardised(entered)
        written, written_after = self.written(normed, mask, before.written)
        gate, gate_after = self.gate(normed, mask, before.gate)
        remembered, memory_after = self.memory(written, mask, before.memory)
        mixed = self.leave_norm(torch.addcmul(entered, gate, written + remembered))
        output = product(mixed, self.leave.weight, self.leave.bias).to(tokens.values.dtype)
        if written_after is None or gate_after is None:
            return output, None
        return output, FSMNState(written_after, gate_after, memory_after)

    def step(self, tokens: Tokens, state: FSMNState | None) -> tuple[Float[Tensor, "b l d"], FSMNState | None]:
        return self(tokens, state)

    def cost(self, batch: int, length: int, grid: Grid | None = None) -> float:
        """Multiply-adds [MAC] of the maps, the two projections and the memory."""
        maps = 2.0 * batch * length * self.width * self.settings.inner
        return maps + sum(part.cost(batch, length) for part in (self.written, self.gate, self.memory))


class Memory(nn.Module):
    """The last of some layers c_i = prelu(n(conv_i[c_(i-1), ..., c_0])), where c_0 = V relu(U x + u).

    A layer has one output a channel, from as many inputs as there are layers before it: channel k reads features
    (i + 1) k to (i + 1) k + i of those outputs laid side by side, the newest first, as the released code does. Its taps
    are 2^i tokens apart. n is an instance norm, over the real tokens of a row. Causal: the taps are of earlier tokens,
    and n is over the features of a token, since moments of a whole row would know what is to come.
    """

    def __init__(self, settings: FSMNSettings) -> None:
        super().__init__()
        inner, self.causal = settings.inner, settings.causal
        self.read, self.project = nn.Linear(inner, inner), nn.Linear(inner, inner, bias=False)
        self.layers = nn.ModuleList(MemoryLayer(inner, place, settings) for place in range(settings.depth))

    def forward(
        self,
        values: Float[Tensor, "b l n"],
        mask: Bool[Tensor, "b l"] | None = None,
        histories: tuple[Tensor, ...] = (),
    ) -> tuple[Float[Tensor, "b l n"], tuple[Tensor, ...]]:
        """What is remembered at each token; and causal, the histories after the last real one."""
        rectified = product(values, self.read.weight, self.read.bias).relu()
        parts = [product(rectified, self.project.weight)]
        after: list[Tensor] = []
        for place, layer in enumerate(cast("Iterable[MemoryLayer]", self.layers)):
            met = torch.cat(parts, dim=-1) if place else parts[0]
            if mask is not None:
                met = met * mask.unsqueeze(-1).to(met.dtype)
            if self.causal:
                met = extend_back(met, histories[place] if histories else None, layer.reach)
                after.append(latest(met, mask, layer.reach))
            parts.insert(0, layer(met, mask))
        return parts[0], tuple(after)

    def cost(self, batch: int, length: int) -> float:
        """Multiply-adds [MAC]."""
        maps = float(batch) * length * (self.read.weight.numel() + self.project.weight.numel())
        layers = cast("Iterable[MemoryLayer]", self.layers)
        return maps + sum(depthwise_conv_cost(batch, length, *layer.weight.shape) for layer in layers)


class MemoryLayer(nn.Module):
    """prelu(n(Σ_m depthwise_m(x_m))) with a slope for each channel; causal, x begins with `reach` earlier tokens."""

    def __init__(self, inner: int, place: int, settings: FSMNSettings) -> None:
        super().__init__()
        taps, self.inner, self.causal, self.dilation = settings.kernel, inner, settings.causal, 2**place
        self.reach = (taps - 1) * self.dilation
        bound = ((place + 1) * taps) ** -0.5
        self.weight = nn.Parameter(torch.empty((place + 1) * inner, taps).uniform_(-bound, bound))
        self.norm = RectifiedTokenNorm(inner) if settings.causal else RectifiedInstanceNorm(inner)

    def forward(self, met: Float[Tensor, "b m e"], mask: Bool[Tensor, "b l"] | None) -> Float[Tensor, "b l n"]:
        mixed = depthwise_conv(met, self.weight, ahead=0 if self.causal else None, dilation=self.dilation)
        if self.causal:
            mixed = mixed[:, self.reach :]
        if len(self.weight) > self.inner:
            mixed = torch.unflatten(mixed, -1, (self.inner, -1)).sum(-1)
        return self.norm(mixed, mask)


class RectifiedTokenNorm(nn.Module):
    """prelu of a layer norm: what a causal memory has in place of its instance norm, with parameters of that shape."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.slopes = nn.Parameter(torch.full((width,), 0.25))

    def forward(
        self, values: Float[Tensor, "b l d"], mask: Bool[Tensor, "b l"] | None = None
    ) -> Float[Tensor, "b l d"]:
        normed = functional.layer_norm(values, self.weight.shape, self.weight, self.bias)
        return torch.where(normed > 0, normed, normed * self.slopes)
