"""What classifiers on a grid share: embedding, a trunk of the core, the mean over all places, a linear map."""

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from armillary.core.config.heads import PooledSettings
from armillary.core.errors import ConfigError
from armillary.core.heads.pooled import PooledClassifier
from armillary.core.mixers.selective import SelectiveScan
from armillary.core.tokens import Grid, Tokens


class PooledNetwork(nn.Module):
    """Images (b, c, *s) to scores (b, k), for any s: embed, trunk, mean over the grid, dropout, linear map."""

    def __init__(self, embed: nn.Module, trunk: nn.Module, num_outputs: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.embed, self.trunk = embed, trunk
        width: int = trunk.output_width  # pyright: ignore[reportAssignmentType]
        self.head = PooledClassifier(width, PooledSettings(classes=num_outputs, pooling="mean", dropout=dropout))

    def forward(self, image: Float[Tensor, "b c *s"]) -> Float[Tensor, "b k"]:
        return self.head(self.tokens(image))

    def features(self, image: Float[Tensor, "b c *s"]) -> Float[Tensor, "b f"]:
        """The mean of the last tokens: what the last linear map reads, before its dropout."""
        return self.head.pool(self.tokens(image))

    def tokens(self, image: Float[Tensor, "b c *s"]) -> Tokens:
        """The last tokens, on their grid; `head.activation_maps` tells what each says for each score."""
        return self.trunk(self.embed(image))[0]

    def after_step(self) -> None:
        """Folds the moments of the trunk's batch norms, where it has any."""
        fold = getattr(self.trunk, "after_step", None)
        if fold is not None:
            fold()


class StridedConv(nn.Module):
    """A convolution of an image, (b, c, *s) to (b, e, *ceil(s / stride)), for sides of any length.

    Output i stands for the pixels stride·i to stride·i + stride - 1 of an axis and sees `kernel` - `stride` more: one
    half, rounded up, before them and the others after. Beyond the edges are zeros.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, rank: int) -> None:
        super().__init__()
        assert kernel >= stride, "pixels between the windows would be lost"
        self.kernel, self.stride, self.before = kernel, stride, (kernel - stride + 1) // 2
        self.convolve = convolution(rank)(inputs, outputs, kernel, stride)

    def forward(self, image: Float[Tensor, "b c *s"]) -> Float[Tensor, "b e *t"]:
        edges: list[int] = []
        for side in reversed(image.shape[2:]):
            seen = (-(-side // self.stride) - 1) * self.stride + self.kernel
            edges += [self.before, seen - self.before - side]
        return self.convolve(functional.pad(image, edges))


def convolution(rank: int) -> type[nn.Conv2d] | type[nn.Conv3d]:
    """Torch's convolution along so many axes.

    Raises ConfigError for images that have neither two axes nor three.
    """
    if rank not in (2, 3):
        raise ConfigError(
            f"images have rows and columns, and planes in front of them in a volume, got {rank} axes.\n"
            "  Set data.size to two numbers or three."
        )
    return nn.Conv2d if rank == 2 else nn.Conv3d


def on_grid(maps: Float[Tensor, "b c *s"]) -> Tokens:
    """The places of feature maps as tokens on their grid."""
    extents = tuple(maps.shape[2:])
    return Tokens(maps.flatten(2).mT, grid=Grid(extents, (False,) * len(extents)))


def check_stages(widths: tuple[int, ...], depths: tuple[int, ...]) -> None:
    """Raises ConfigError unless every stage has a width and a depth."""
    if len(widths) != len(depths):
        raise ConfigError(
            f"expected one entry a stage in each, got model.widths={widths} and model.depths={depths}.\n"
            "  Set both to as many numbers as there are stages."
        )


@torch.no_grad()
def start_linear(network: nn.Module) -> None:
    """Linear maps start normal with deviation 0.02 and no bias, as in the released code of both kinds of stages.

    Those inside of selective scans keep their own start, which sets the range of their steps.
    """
    kept = {id(part) for scan in network.modules() if isinstance(scan, SelectiveScan) for part in scan.modules()}
    for module in network.modules():
        if isinstance(module, nn.Linear) and id(module) not in kept:
            nn.init.trunc_normal_(module.weight, std=0.02)
            bias = cast(Tensor | None, module.bias)
            if bias is not None:
                nn.init.zeros_(bias)
