"""Mamba-2: a state space with one decay per head, in chunks of matrix products."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from armillary.core.config.mixers import Mamba2Settings
from armillary.core.errors import ConfigError
from armillary.core.mixers.convolution import CausalConv
from armillary.core.mixers.protocol import Capabilities
from armillary.core.mixers.sequences import number_runs, refuse_unsupported
from armillary.core.mixers.statespace import fits_fused_step, step_size_bias, undecayed
from armillary.core.ops import mamba2_step, scalar_decay, scalar_decay_cost
from armillary.core.ops.precision import accumulation_dtype
from armillary.core.tokens import Grid, Tokens


class Mamba2State(NamedTuple):
    """Last inputs of the convolution (c channels) and the state of h heads, p wide, n states each."""

    window: Float[Tensor, "b k c"]
    heads: Float[Tensor, "b h p n"]


class Mamba2(nn.Module):
    """out(rms_norm(y · silu(z))) with y the scalar-decay recurrence over silu(conv([x, B, C])).

    One projection gives z, x, B, C and the step size. Masked tokens take a step of size zero, which leaves
    the state as it is. Bidirectional: the sum of a forward and a reverse recurrence over the same projection.

    References:
        Dao and Gu 2024, "Transformers are SSMs", section 7.1 (sequential gated block, figure 6).
    """

    def __init__(self, width: int, settings: Mamba2Settings) -> None:
        super().__init__()
        self.shape = _Shape(width, settings)
        self.in_proj = nn.Linear(width, self.shape.inner + self.shape.channels + self.shape.heads, bias=False)
        self.scan = DecayBranch(self.shape, settings)
        self.reverse = DecayBranch(self.shape, settings) if settings.bidirectional else None
        self.norm_weight = nn.Parameter(torch.ones(self.shape.inner))
        self.out_proj = nn.Linear(self.shape.inner, width, bias=False)
        causal = not settings.bidirectional
        self.capabilities = Capabilities(causal=causal, streaming=causal, cost_order="l", packed_segments=True)

    def forward(
        self, tokens: Tokens, state: Mamba2State | None = None, context: Tokens | None = None
    ) -> tuple[Float[Tensor, "b l d"], Mamba2State | None]:
        refuse_unsupported("mamba2", self.capabilities, tokens, state, context)
        sizes = [self.shape.inner, self.shape.channels, self.shape.heads]
        z, signal, dt = self.in_proj(tokens.values).split(sizes, dim=-1)
        runs, mask = number_runs(tokens), tokens.mask
        y, after = self.scan(signal, dt, mask, runs, state)
        if self.reverse is not None:
            turned = (None if tensor is None else tensor.flip(1) for tensor in (signal, dt, mask, runs))
            backwards, after = self.reverse(*turned, None)[0], None
            y = y + backwards.flip(1)
        return self.out_proj(self._gated_norm(y, z)), after

    def step(self, tokens: Tokens, state: Mamba2State | None) -> tuple[Float[Tensor, "b l d"], Mamba2State | None]:
        """One more token; on a CPU, under no_grad and in single precision, in one fused call."""
        if self.reverse is not None or not fits_fused_step(tokens, self.in_proj.weight):
            return self(tokens, state)
        branch, (window, heads) = self.scan, (None, None) if state is None else state
        y, window, heads = mamba2_step(
            tokens.values[:, 0],
            window,
            heads,
            self.in_proj.weight,
            branch.conv.weight,
            branch.conv.bias,
            branch.dt_bias,
            branch.A_log,
            branch.D,
            self.norm_weight,
            self.out_proj.weight,
            self.shape.state,
        )
        return y[:, None], Mamba2State(window, heads)

    def cost(self, batch: int, length: int, grid: Grid | None = None) -> float:
        """Multiply-adds [MAC] of the projections and of one or two recurrences."""
        projections = float(batch) * length * (self.in_proj.weight.numel() + self.out_proj.weight.numel())
        branches = [self.scan] if self.reverse is None else [self.scan, self.reverse]
        return projections + sum(branch.cost(batch, length) for branch in branches)

    def _gated_norm(self, y: Tensor, z: Tensor) -> Tensor:
        dtype = accumulation_dtype(y)
        gated = y.to(dtype) * functional.silu(z.to(dtype))
        return functional.rms_norm(gated, (self.shape.inner,), self.norm_weight.to(dtype), eps=1e-5).to(z.dtype)


class _Shape:
    """Sizes that follow from the width: inner channels, heads, and what the convolution sees ([x, B, C])."""

    def __init__(self, width: int, settings: Mamba2Settings) -> None:
        self.inner, self.head_width = settings.expand * width, settings.head_width
        self.heads, rest = divmod(self.inner, self.head_width)
        if rest or self.heads % settings.groups:
            raise ConfigError(
                f"mamba2 at width {width} has {settings.expand} * {width} = {self.inner} inner channels; expected "
                f"heads of head_width={self.head_width} in groups={settings.groups} of equal size.\n"
                "  Choose a head_width that divides the inner channels, and groups that divide the heads."
            )
        self.state, self.groups = settings.state, settings.groups
        self.channels = self.inner + 2 * self.groups * self.state


class DecayBranch(nn.Module):
    """Convolution, step size and recurrence in one direction of time."""

    def __init__(self, shape: _Shape, settings: Mamba2Settings) -> None:
        super().__init__()
        self.shape, self.chunk = shape, settings.chunk
        self.conv = CausalConv(shape.channels, settings.conv)
        self.dt_bias = step_size_bias(shape.heads, settings)
        self.A_log = undecayed(torch.empty(shape.heads).uniform_(1, 16).log())
        self.D = undecayed(torch.ones(shape.heads))

    def forward(
        self,
        signal: Float[Tensor, "b l c"],
        dt: Float[Tensor, "b l h"],
        mask: Bool[Tensor, "b l"] | None,
        runs: Int[Tensor, "b l"] | None,
        state: Mamba2State | None,
    ) -> tuple[Float[Tensor, "b l e"], Mamba2State]:
        """Outputs, and the state after the last real token."""
        dtype = accumulation_dtype(signal)
        signal, window = self.conv(signal, mask, runs, None if state is None else state.window, silu=True)
        x, B, C = self._split(signal)
        dt = functional.softplus(dt.to(dtype) + self.dt_bias.to(dtype))
        dt = dt if mask is None else dt * mask[..., None].to(dtype)
        log_decay = -dt * torch.exp(self.A_log.to(dtype))
        before = None if state is None else state.heads
        y, heads = scalar_decay(x.to(dtype) * dt[..., None], log_decay, B, C, before, runs, chunk=self.chunk)
        y = y + self.D.to(dtype)[:, None] * x.to(dtype)
        return y.flatten(2).to(signal.dtype), Mamba2State(window, heads)

    def cost(self, batch: int, length: int) -> float:
        """Multiply-adds [MAC]; a sequence shorter than a chunk is one chunk."""
        shape = self.shape
        sizes = (shape.heads, shape.head_width, shape.state, shape.groups)
        recurrence = scalar_decay_cost(batch, length, *sizes, min(self.chunk, length))
        return recurrence + self.conv.cost(batch, length)

    def _split(self, signal: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        shape = self.shape
        rows = shape.groups * shape.state
        x, B, C = torch.split(signal, [shape.inner, rows, rows], dim=-1)
        grouped = [torch.unflatten(tensor, -1, (shape.groups, shape.state)) for tensor in (B, C)]
        return torch.unflatten(x, -1, (shape.heads, shape.head_width)), grouped[0], grouped[1]
