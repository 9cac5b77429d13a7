"""Cross scan: selective scans along the axes of a grid, each in both directions."""

from collections.abc import Iterable
from typing import cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from armillary.core.config.mixers import CrossScanSettings
from armillary.core.mixers.grid_convolution import GridConv
from armillary.core.mixers.grids import grid_of
from armillary.core.mixers.protocol import Capabilities
from armillary.core.mixers.selective import SelectiveScan
from armillary.core.mixers.sequences import refuse_unsupported
from armillary.core.ops import grid_paths
from armillary.core.tokens import Grid, Tokens


class CrossScan(nn.Module):
    """out(norm(Σ_k scan_k(silu(conv(x)))) [· silu(z)]) with [x, z] = in(tokens), on a grid of `rank` axes.

    There is a forward and a reverse scan for every axis, which runs fastest in its order, the others row-major; each
    has its own step size, B, C, decay and skip. The scans read the grid in place. With `axis` set only the two scans
    along that axis remain: blocks that take turns are the cheap choice on a volume. The depthwise convolution wraps
    around on periodic axes; a scan begins at an edge all the same, so such a grid is not treated alike everywhere.
    Masked tokens are zero for the convolution and take a step of size zero. Without the gate it is the block of the
    second generation; with it, and 16 states, of the first.

    References:
        Liu et al. 2024, "VMamba: visual state space model", section 4 and figure 3.
    """

    def __init__(self, width: int, settings: CrossScanSettings) -> None:
        super().__init__()
        inner, self.rank, self.gate = settings.expand * width, settings.rank, settings.gate
        self.axes = range(self.rank) if settings.axis is None else (settings.axis,)
        self.in_proj = nn.Linear(width, (2 if self.gate else 1) * inner, bias=False)
        self.conv = GridConv(inner, settings.conv, self.rank, depthwise=True)
        self.forwards = nn.ModuleList(_scan(width, inner, settings) for _ in self.axes)
        self.backwards = nn.ModuleList(_scan(width, inner, settings) for _ in self.axes)
        self.norm = nn.LayerNorm(inner)
        self.out_proj = nn.Linear(inner, width, bias=False)
        self.capabilities = Capabilities(causal=False, streaming=False, cost_order="l", grid_ranks=(self.rank,))

    def forward(
        self, tokens: Tokens, state: None = None, context: Tokens | None = None
    ) -> tuple[Float[Tensor, "b l d"], None]:
        refuse_unsupported("cross_scan", self.capabilities, tokens, state, context)
        grid = grid_of(tokens, "cross_scan", (self.rank,))
        x, *gate = self.in_proj(tokens.values).chunk(2 if self.gate else 1, dim=-1)
        x = functional.silu(self.conv(x, grid, tokens.mask))
        y = self.norm(self._scanned(x, grid, tokens.mask))
        return self.out_proj(y * functional.silu(gate[0]) if gate else y), None

    def step(self, tokens: Tokens, state: None) -> tuple[Float[Tensor, "b l d"], None]:
        return self(tokens, state)

    def cost(self, batch: int, length: int, grid: Grid | None = None) -> float:
        """Multiply-adds [MAC] of the projections, the convolution and every scan."""
        projections = float(batch) * length * (self.in_proj.weight.numel() + self.out_proj.weight.numel())
        modules = cast(Iterable[SelectiveScan], (*self.forwards, *self.backwards))
        scans = sum(scan.cost(batch, length) for scan in modules)
        return projections + self.conv.cost(batch, length) + scans

    def _scanned(
        self, x: Float[Tensor, "b l e"], grid: Grid, mask: Bool[Tensor, "b l"] | None
    ) -> Float[Tensor, "b l e"]:
        """The sum of all scans, each token at its own place."""
        paths = grid_paths(grid.extents, x.device)
        total = torch.zeros_like(x)
        for axis, ahead, back in zip(self.axes, self.forwards, self.backwards, strict=True):
            # The last axis runs fastest in memory: no path needed.
            path = None if axis == self.rank - 1 else paths[axis]
            total = total + ahead(x, None, mask, None, path)[0] + back(x, None, mask, None, path, reverse=True)[0]
        return total


def _scan(width: int, inner: int, settings: CrossScanSettings) -> SelectiveScan:
    return SelectiveScan(inner, settings.state, settings.dt_rank or -(-width // 16), settings, settings.chunk)
