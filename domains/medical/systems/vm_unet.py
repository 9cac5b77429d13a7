"""VM-UNet: gated cross scans in stages down and up, skips by addition."""

from itertools import repeat
from typing import Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from armillary.core.config.mixers import CrossScanSettings
from armillary.core.config.trunk import StageSettings, TrunkSettings
from armillary.core.mixers.selective import SelectiveScan
from armillary.core.tokens import Grid, Tokens
from armillary.core.trunk import Pass, Stage
from armillary.domains.medical.systems.padding import cut, padded
from armillary.domains.medical.systems.settings import VMUNetSettings


class VMUNet(nn.Module):
    """Patches, encoder stages with merging, decoder stages with splitting, then each token becomes a patch of logits.

    As in the released code, a skip is what enters an encoder stage and is added to what leaves the decoder stage of the
    same resolution; the finest stage has none. The step up of `patch` gives width / patch features a pixel, which a
    norm and a 1x1 convolution turn into logits. No norm stands in front of merging, where the released code has one:
    5,376 of its parameters, 0.02 %. A volume is scanned along three axes instead of two.

    References:
        Ruan et al. 2024, "VM-UNet: vision Mamba UNet for medical image segmentation", section 3.
    """

    def __init__(self, settings: VMUNetSettings, num_outputs: int, channels: int, size: tuple[int, ...]) -> None:
        super().__init__()
        self.rank, self.patch, widths = len(size), settings.patch, settings.widths
        convolution = nn.Conv3d if self.rank == 3 else nn.Conv2d
        self.embed = convolution(channels, widths[0], self.patch, self.patch)
        self.embed_norm = nn.LayerNorm(widths[0])
        self.encoder = nn.ModuleList(self._stages(settings, widths, settings.depths, "down2"))
        self.decoder = nn.ModuleList(self._stages(settings, widths[::-1], settings.decoder_depths, "up2"))
        self.split_norms = nn.ModuleList(nn.LayerNorm(width) for width in widths[-2::-1])
        self.features = max(widths[0] // self.patch, 1)
        self.expand = nn.Linear(widths[0], self.patch**self.rank * self.features, bias=False)
        self.expand_norm = nn.LayerNorm(self.features)
        self.head = nn.Linear(self.features, num_outputs)
        _start(self)
        nn.init.zeros_(self.head.bias)

    def forward(self, image: Float[Tensor, "b c *s"]) -> Float[Tensor, "b k *s"]:
        """Logits of every structure at every pixel."""
        tokens = self._embedded(padded(image, (self.patch,) * self.rank))
        run = Pass(lambda block, values, state: block(values, state), repeat(None))
        finer: list[Tokens] = []
        skips: list[Tokens] = []
        for stage in cast("list[Stage]", self.encoder):
            tokens = stage.enter(tokens, finer)
            skips.append(tokens)
            tokens = stage.mix(tokens, run)
        first, *stages = cast("list[Stage]", self.decoder)
        tokens = first.mix(tokens, run)
        for stage, norm in zip(stages, self.split_norms, strict=True):
            tokens = stage.enter(tokens.with_values(tokens.values + skips.pop().values), finer)
            tokens = stage.mix(tokens.with_values(norm(tokens.values)), run)
        return cut(self._pixels(tokens), image.shape[2:])

    def _stages(
        self,
        settings: VMUNetSettings,
        widths: tuple[int, ...],
        depths: tuple[int, ...],
        resample: Literal["down2", "up2"],
    ) -> list[Stage]:
        """One row of stages; drop path grows towards the bottom, from zero at either end of the network."""
        scan = CrossScanSettings(rank=cast("Literal[2, 3]", self.rank), state=settings.state, expand=2, gate=True)
        rates = [settings.drop_path * index / max(sum(depths) - 1, 1) for index in range(sum(depths))]
        waiting = iter(rates if resample == "down2" else rates[::-1])
        trunk = TrunkSettings(width=widths[0], pattern=(scan,), channel=None, grid_rank=self.rank)
        stages: list[Stage] = []
        for index, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            told = StageSettings(depth=depth, pattern=(scan,), width=width, resample=resample if index else "none")
            stages.append(Stage(widths[max(index - 1, 0)], told, trunk, [next(waiting) for _ in range(depth)]))
        return stages

    def _embedded(self, image: Float[Tensor, "b c *s"]) -> Tokens:
        """A normed token for each patch."""
        patches = self.embed(image)
        grid = Grid(tuple(patches.shape[2:]), (False,) * self.rank)
        return Tokens(self.embed_norm(patches.flatten(2).mT), grid=grid)

    def _pixels(self, tokens: Tokens) -> Float[Tensor, "b k *s"]:
        """Logits of the patch of pixels that each token stands for, laid out on the image."""
        assert tokens.grid is not None
        rank, side, extents = self.rank, self.patch, tokens.grid.extents
        pixels = self.expand(tokens.values).unflatten(-1, (side**rank, self.features))
        logits = self.head(self.expand_norm(pixels))
        # (b, *extents, side per axis, k) to (b, k, extent and side per axis)
        # shape[0] and not len(): an exported program serves any number of items.
        blocks = logits.reshape(logits.shape[0], *extents, *(side,) * rank, logits.shape[-1])
        pairs = [axis for i in range(rank) for axis in (1 + i, 1 + rank + i)]
        size = [extent * side for extent in extents]
        return blocks.permute(0, 2 * rank + 1, *pairs).reshape(logits.shape[0], logits.shape[-1], *size)


@torch.no_grad()
def _start(network: nn.Module) -> None:
    """Small normal weights for linear maps, as published; those that make the scans' step sizes keep their own."""
    inside = {id(child) for scan in network.modules() if isinstance(scan, SelectiveScan) for child in scan.modules()}
    for module in network.modules():
        if isinstance(module, nn.Linear) and id(module) not in inside:
            nn.init.trunc_normal_(module.weight, std=0.02)
