"""Mamba: a selective state space behind a short convolution, gated."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from armillary.core.config.mixers import MambaSettings
from armillary.core.mixers.convolution import CausalConv
from armillary.core.mixers.protocol import Capabilities
from armillary.core.mixers.sequences import refuse_unsupported
from armillary.core.mixers.statespace import step_size_bias, undecayed
from armillary.core.ops import selective_scan, selective_scan_cost
from armillary.core.ops.precision import accumulation_dtype
from armillary.core.tokens import Tokens


class MambaState(NamedTuple):
    """Last inputs of the convolution and the state of the scan, e inner channels, n states each."""

    window: Float[Tensor, "b k e"]
    scan: Float[Tensor, "b e n"]


class Mamba(nn.Module):
    """out(scan(silu(conv(x))) · silu(z)) with [x, z] = in(tokens); step size, B and C are projections of x.

    Masked tokens take a step of size zero, which leaves the state as it is. Bidirectional: the sum of a
    forward and a reverse scan, which share the projections in and out.

    References:
        Gu and Dao 2023, "Mamba: linear-time sequence modeling with selective state spaces", section 3.4.
    """

    def __init__(self, width: int, settings: MambaSettings) -> None:
        super().__init__()
        inner = settings.expand * width
        self.in_proj = nn.Linear(width, 2 * inner, bias=False)
        self.scan = SelectiveBranch(width, inner, settings)
        self.reverse = SelectiveBranch(width, inner, settings) if settings.bidirectional else None
        self.out_proj = nn.Linear(inner, width, bias=False)
        causal = not settings.bidirectional
        self.capabilities = Capabilities(causal=causal, streaming=causal, cost_order="l")

    def forward(
        self, tokens: Tokens, state: MambaState | None = None, context: Tokens | None = None
    ) -> tuple[Float[Tensor, "b l d"], MambaState | None]:
        refuse_unsupported("mamba", self.capabilities, tokens, state, context)
        x, z = self.in_proj(tokens.values).chunk(2, dim=-1)
        y, after = self.scan(x, z, tokens.mask, state)
        if self.reverse is None:
            return self.out_proj(y), after
        mask = None if tokens.mask is None else tokens.mask.flip(1)
        backwards, _ = self.reverse(x.flip(1), z.flip(1), mask, None)
        return self.out_proj(y + backwards.flip(1)), None

    def step(self, tokens: Tokens, state: MambaState | None) -> tuple[Float[Tensor, "b l d"], MambaState | None]:
        return self(tokens, state)

    def cost(self, batch: int, length: int) -> float:
        """Multiply-adds [MAC] of the projections and of one or two scans."""
        projections = float(batch) * length * (self.in_proj.weight.numel() + self.out_proj.weight.numel())
        branches = [self.scan] if self.reverse is None else [self.scan, self.reverse]
        return projections + sum(branch.cost(batch, length) for branch in branches)


class SelectiveBranch(nn.Module):
    """Convolution, step size and scan in one direction of time."""

    def __init__(self, width: int, inner: int, settings: MambaSettings) -> None:
        super().__init__()
        self.rank = settings.dt_rank or math.ceil(width / 16)
        self.state, self.chunk = settings.state, settings.chunk
        self.conv = CausalConv(inner, settings.conv)
        self.x_proj = nn.Linear(inner, self.rank + 2 * self.state, bias=False)
        self.dt_proj = nn.Linear(self.rank, inner, bias=False)
        nn.init.uniform_(self.dt_proj.weight, -(self.rank**-0.5), self.rank**-0.5)
        self.dt_bias = step_size_bias(inner, settings)
        self.A_log = undecayed(torch.arange(1.0, self.state + 1).log().repeat(inner, 1))
        self.D = undecayed(torch.ones(inner))

    def forward(
        self,
        x: Float[Tensor, "b l e"],
        z: Float[Tensor, "b l e"],
        mask: Bool[Tensor, "b l"] | None,
        state: MambaState | None,
    ) -> tuple[Float[Tensor, "b l e"], MambaState]:
        """Gated outputs, and the state after the last real token."""
        x, window = self.conv(x, mask, None, None if state is None else state.window)
        x = functional.silu(x)
        low, B, C = self.x_proj(x).split([self.rank, self.state, self.state], dim=-1)
        dtype = accumulation_dtype(x)
        dt = functional.softplus(self.dt_proj(low).to(dtype) + self.dt_bias.to(dtype))
        dt = dt if mask is None else dt * mask[..., None].to(dtype)
        decay = -torch.exp(self.A_log.to(dtype))
        before = None if state is None else state.scan
        y, scan = selective_scan(x, dt, decay, B.unsqueeze(2), C.unsqueeze(2), self.D, z, before, chunk=self.chunk)
        return y, MambaState(window, scan)

    def cost(self, batch: int, length: int) -> float:
        """Multiply-adds [MAC]."""
        projections = float(batch) * length * (self.x_proj.weight.numel() + self.dt_proj.weight.numel())
        scan = selective_scan_cost(batch, length, *self.A_log.shape)
        return projections + self.conv.cost(batch, length) + scan
