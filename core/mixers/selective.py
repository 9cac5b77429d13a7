"""The selective scan with the projections that make its step size, B and C from its input."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from armillary.core.config.mixers import StepSizeSettings
from armillary.core.mixers.statespace import step_size_bias, undecayed
from armillary.core.ops import selective_scan, selective_scan_cost
from armillary.core.ops.precision import accumulation_dtype


class SelectiveScan(nn.Module):
    """scan(x; dt, A, B, C, D) · silu(z) with [r, B, C] = x_proj(x) and dt = softplus(dt_proj(r) + bias).

    Masked tokens take a step of size zero, which leaves the state as it is.

    References:
        Gu and Dao 2023, "Mamba: linear-time sequence modeling with selective state spaces", algorithm 2.
    """

    def __init__(self, inner: int, state: int, rank: int, step_size: StepSizeSettings, chunk: int | None) -> None:
        super().__init__()
        self.rank, self.state, self.chunk = rank, state, chunk
        self.x_proj = nn.Linear(inner, rank + 2 * state, bias=False)
        self.dt_proj = nn.Linear(rank, inner, bias=False)
        nn.init.uniform_(self.dt_proj.weight, -(rank**-0.5), rank**-0.5)
        self.dt_bias = step_size_bias(inner, step_size)
        self.A_log = undecayed(torch.arange(1.0, state + 1).log().repeat(inner, 1))
        self.D = undecayed(torch.ones(inner))

    def forward(
        self,
        x: Float[Tensor, "b l e"],
        z: Float[Tensor, "b l e"] | None,
        mask: Bool[Tensor, "b l"] | None,
        state: Float[Tensor, "b e n"] | None = None,
        path: Int[Tensor, " l"] | None = None,
        reverse: bool = False,
    ) -> tuple[Float[Tensor, "b l e"], Float[Tensor, "b e n"]]:
        """Outputs, gated if z is given, each at its token's place, and the state after the token visited last."""
        low, B, C = self.x_proj(x).split([self.rank, self.state, self.state], dim=-1)
        dtype = accumulation_dtype(x)
        dt = functional.softplus(self.dt_proj(low).to(dtype) + self.dt_bias.to(dtype))
        dt = dt if mask is None else dt * mask[..., None].to(dtype)
        decay = -torch.exp(self.A_log.to(dtype))
        rows = (B.unsqueeze(2), C.unsqueeze(2))
        return selective_scan(x, dt, decay, *rows, self.D, z, state, path, reverse=reverse, chunk=self.chunk)

    def cost(self, batch: int, length: int) -> float:
        """Multiply-adds [MAC]."""
        projections = float(batch) * length * (self.x_proj.weight.numel() + self.dt_proj.weight.numel())
        return projections + selective_scan_cost(batch, length, *self.A_log.shape)
