"""MedMamba's block: one half of the features through convolutions, the other through a cross scan."""

from collections.abc import Iterable
from typing import cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from armillary.core.config.mixers import MedMambaSettings
from armillary.core.config.norms import BatchNormSettings
from armillary.core.errors import ConfigError
from armillary.core.mixers.cross_scan import CrossScan
from armillary.core.mixers.grid_convolution import GridConv
from armillary.core.mixers.grids import grid_of
from armillary.core.mixers.protocol import Capabilities
from armillary.core.mixers.sequences import refuse_unsupported
from armillary.core.norms import BatchNorm
from armillary.core.tokens import Grid, Tokens


class MedMamba(nn.Module):
    """Features of convolutions and of a cross scan taken in turn: shuffle(concat(convolve(a), scan(norm(b)))).

    The tokens' first half of features is a, the second b. Both branches have norms of their own, so the published
    block is this mixer in a trunk without norm and channel mixer, which adds the input. The convolutions' batch norms
    count real tokens only; their running moments move in the trunk's `after_step`.

    References:
        Yue and Li 2024, "MedMamba: vision Mamba for medical image classification", section 3.2 (SS-Conv-SSM).
    """

    def __init__(self, width: int, settings: MedMambaSettings) -> None:
        super().__init__()
        if width % 2:
            raise ConfigError(
                f"medmamba at width {width} cannot give each of its two branches half of the features.\n"
                "  Choose an even width."
            )
        self.rank = settings.scan.rank
        self.convolve = ConvBranch(width // 2, self.rank)
        self.norm = nn.LayerNorm(width // 2)
        self.scan = CrossScan(width // 2, settings.scan)
        self.capabilities = Capabilities(causal=False, streaming=False, cost_order="l", grid_ranks=(self.rank,))

    def forward(
        self, tokens: Tokens, state: None = None, context: Tokens | None = None
    ) -> tuple[Float[Tensor, "b l d"], None]:
        refuse_unsupported("medmamba", self.capabilities, tokens, state, context)
        grid = grid_of(tokens, "medmamba", (self.rank,))
        first, second = tokens.values.chunk(2, dim=-1)
        convolved = self.convolve(first, grid, tokens.mask)
        scanned, _ = self.scan(tokens.with_values(self.norm(second)))
        # Stacked last and flattened, the features of the branches alternate: a shuffle of two groups.
        return torch.stack([convolved, scanned], dim=-1).flatten(2).to(tokens.values.dtype), None

    def step(self, tokens: Tokens, state: None) -> tuple[Float[Tensor, "b l d"], None]:
        return self(tokens, state)

    def cost(self, batch: int, length: int, grid: Grid | None = None) -> float:
        """Multiply-adds [MAC] of both branches."""
        return self.convolve.cost(batch, length) + self.scan.cost(batch, length, grid)


class ConvBranch(nn.Module):
    """relu(conv1(relu(bn(conv3(relu(bn(conv3(bn(x)))))))) with dense convolutions of 3 and 1 places an axis."""

    def __init__(self, width: int, rank: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(BatchNorm(width, BatchNormSettings()) for _ in range(3))
        self.convolutions = nn.ModuleList(GridConv(width, places, rank) for places in (3, 3, 1))

    def forward(
        self, values: Float[Tensor, "b l d"], grid: Grid, mask: Bool[Tensor, "b l"] | None
    ) -> Float[Tensor, "b l d"]:
        values = self.norms[0](values, mask)
        for convolution, norm in zip(self.convolutions[:-1], self.norms[1:], strict=True):
            values = functional.relu(norm(convolution(values, grid, mask), mask))
        return functional.relu(self.convolutions[-1](values, grid, mask))

    def cost(self, batch: int, length: int) -> float:
        """Multiply-adds [MAC]."""
        return sum(convolution.cost(batch, length) for convolution in cast(Iterable[GridConv], self.convolutions))
