"""U-Mamba: a U-Net of residual convolutions with Mamba layers in its encoder."""

from math import ceil, prod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from armillary.domains.medical.systems.mamba_layer import MambaLayer
from armillary.domains.medical.systems.padding import cut, padded
from armillary.domains.medical.systems.residual import channels_last, convolution_of, fold_norms, residuals, start
from armillary.domains.medical.systems.settings import UMambaSettings


class UMamba(nn.Module):
    """Encoder stages of residual blocks that halve the map, decoder stages that double it and read the skips.

    Variant 'enc' puts a Mamba layer behind every encoder stage, 'bot' behind the last. With 'enc', a stage whose map
    has no more places than features at the size the network is built for reads channels as tokens.

    As in the paper, up-sampling is by transposed convolutions and every resolution has a skip. The released code takes
    the nearest neighbour and a 1x1 convolution, and drops the finest skip in all networks but Bot in 3-D. Decoder
    blocks are as there: two a stage in the coarser half, one in the finer. There is one output, where the released code
    trains several resolutions at once.

    References:
        Ma et al. 2024, "U-Mamba: enhancing long-range dependency for biomedical image segmentation", section 2.
    """

    def __init__(self, settings: UMambaSettings, num_outputs: int, channels: int, size: tuple[int, ...]) -> None:
        super().__init__()
        rank, widths, norm = len(size), settings.widths, settings.norm
        halvings = len(widths) - 1
        self.multiple = (2**halvings,) * rank
        self.stem = residuals(channels, widths[0], settings.blocks[0], rank, norm)
        self.stages, self.mixers, self.ups, self.decoder = (nn.ModuleList() for _ in range(4))
        for index, (width, number) in enumerate(zip(widths, settings.blocks, strict=True)):
            inputs = widths[max(index - 1, 0)]
            self.stages.append(residuals(inputs, width, number, rank, norm, stride=2 if index else 1))
            extents = tuple(ceil(extent / self.multiple[0]) * 2 ** (halvings - index) for extent in size)
            self.mixers.append(_mixer(settings, index, extents))
        transposed = nn.ConvTranspose3d if rank == 3 else nn.ConvTranspose2d
        for index, width in enumerate(widths[-2::-1]):
            self.ups.append(transposed(widths[halvings - index], width, 2, 2))
            self.decoder.append(residuals(2 * width, width, 2 if index < ceil(len(widths) / 2) else 1, rank, norm))
        self.head = convolution_of(rank)(widths[0], num_outputs, 1)
        start(self)

    def forward(self, image: Float[Tensor, "b c *s"]) -> Float[Tensor, "b k *s"]:
        """Logits of every structure at every pixel."""
        values = self.stem(channels_last(padded(image, self.multiple)))
        skips: list[Tensor] = []
        for stage, mixer in zip(self.stages, self.mixers, strict=True):
            values = mixer(stage(values))
            skips.append(values)
        skips.pop()
        for up, stage in zip(self.ups, self.decoder, strict=True):
            values = stage(torch.cat((up(values), skips.pop()), dim=1))
        return cut(self.head(values), image.shape[2:])

    def after_step(self) -> None:
        """Fold the moments of batch norms, when there are any, after the optimiser's step."""
        fold_norms(self)


def _mixer(settings: UMambaSettings, index: int, extents: tuple[int, ...]) -> nn.Module:
    """What stands behind an encoder stage whose map has these extents."""
    width, last = settings.widths[index], index == len(settings.widths) - 1
    if settings.variant == "bot":
        return MambaLayer(width, settings.state) if last else nn.Identity()
    return MambaLayer(width, settings.state, extents if prod(extents) <= width else None)
