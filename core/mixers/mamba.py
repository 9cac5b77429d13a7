"""Mamba: a selective state space behind a short convolution, gated."""

import math
from typing import NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor, nn

from armillary.core.config.mixers import MambaSettings
from armillary.core.mixers.convolution import CausalConv
from armillary.core.mixers.protocol import Capabilities
from armillary.core.mixers.selective import SelectiveScan
from armillary.core.mixers.sequences import refuse_unsupported
from armillary.core.mixers.statespace import fits_fused_step
from armillary.core.ops import mamba_step
from armillary.core.tokens import Grid, Tokens


class MambaState(NamedTuple):
    """Last inputs of the convolution and the state of the scan, e inner channels, n states each."""

    window: Float[Tensor, "b k e"]
    scan: Float[Tensor, "b e n"]


class Mamba(nn.Module):
    """out(scan(silu(conv(x))) · silu(z)) with [x, z] = in(tokens); step size, B and C are projections of x.

    Masked tokens take a step of size zero, which leaves the state as it is. Bidirectional: the sum of a forward and
    a reverse branch, which share the projections in and out and have their own convolution, step size, B, C, decay and
    skip. That is Vim's block; its authors' code takes the mean where their paper adds, a factor that the projection
    out absorbs.

    References:
        Gu and Dao 2023, "Mamba: linear-time sequence modeling with selective state spaces", section 3.4.
        Zhu et al. 2024, "Vision Mamba: efficient visual representation learning with bidirectional state space model",
        algorithm 1.
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
        y, after = self.scan.onward(x, z, tokens.mask, state)
        if self.reverse is None:
            return self.out_proj(y), after
        return self.out_proj(y + self.reverse.backward_in_time(x, z, tokens.mask)), None

    def step(self, tokens: Tokens, state: MambaState | None) -> tuple[Float[Tensor, "b l d"], MambaState | None]:
        """One more token; on a CPU, under no_grad and in single precision, in one fused call."""
        if self.reverse is not None or not fits_fused_step(tokens, self.in_proj.weight):
            return self(tokens, state)
        branch, (window, scan) = self.scan, (None, None) if state is None else state
        y, window, scan = mamba_step(
            tokens.values[:, 0],
            window,
            scan,
            self.in_proj.weight,
            branch.conv.weight,
            branch.conv.bias,
            branch.x_proj.weight,
            branch.dt_proj.weight,
            branch.dt_bias,
            branch.A_log,
            branch.D,
            self.out_proj.weight,
        )
        return y[:, None], MambaState(window, scan)

    def cost(self, batch: int, length: int, grid: Grid | None = None) -> float:
        """Multiply-adds [MAC] of the projections and of one or two scans."""
        projections = float(batch) * length * (self.in_proj.weight.numel() + self.out_proj.weight.numel())
        branches = [self.scan] if self.reverse is None else [self.scan, self.reverse]
        return projections + sum(branch.cost(batch, length) for branch in branches)


class SelectiveBranch(SelectiveScan):
    """Convolution, step size and scan in one direction of time."""

    def __init__(self, width: int, inner: int, settings: MambaSettings) -> None:
        conv = CausalConv(inner, settings.conv)
        super().__init__(inner, settings.state, settings.dt_rank or math.ceil(width / 16), settings, settings.chunk)
        self.conv = conv

    def onward(
        self,
        x: Float[Tensor, "b l e"],
        z: Float[Tensor, "b l e"],
        mask: Bool[Tensor, "b l"] | None,
        state: MambaState | None,
    ) -> tuple[Float[Tensor, "b l e"], MambaState]:
        """Gated outputs, and the state after the last real token."""
        window, scan = (None, None) if state is None else state
        x, window = self.conv(x, mask, None, window, silu=True)
        y, scan = self(x, z, mask, scan)
        return y, MambaState(window, scan)

    def backward_in_time(
        self, x: Float[Tensor, "b l e"], z: Float[Tensor, "b l e"], mask: Bool[Tensor, "b l"] | None
    ) -> Float[Tensor, "b l e"]:
        """Gated outputs of the same from the last token to the first."""
        turned = None if mask is None else mask.flip(1)
        x, _ = self.conv(x.flip(1), turned, None, None, silu=True)
        return self(x.flip(1), z, mask, reverse=True)[0]

    def cost(self, batch: int, length: int) -> float:
        """Multiply-adds [MAC]."""
        return super().cost(batch, length) + self.conv.cost(batch, length)
