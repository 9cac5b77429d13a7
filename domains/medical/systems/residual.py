"""Residual blocks of two convolutions on images and volumes, with a choice of norm."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from armillary.core.config.norms import BatchNormSettings
from armillary.core.norms import BatchNorm

Norm = Literal["instance", "batch"]


class Residual(nn.Module):
    """act(norm(conv(act(norm(conv(x))))) + shortcut(x)), kernels of 3, leaky ReLU; the first convolution may stride.

    The shortcut is a 1x1 convolution with a bias where `project`, else x itself. The others need no bias: their norm
    takes it away.

    References:
        He et al. 2016, "Deep residual learning for image recognition", section 3.3.
    """

    def __init__(self, inputs: int, width: int, rank: int, norm: Norm, *, stride: int = 1, project: bool) -> None:
        super().__init__()
        convolution = convolution_of(rank)
        self.first = convolution(inputs, width, 3, stride, 1, bias=False)
        self.second = convolution(width, width, 3, 1, 1, bias=False)
        self.first_norm, self.second_norm = norm_of(norm, width), norm_of(norm, width)
        self.shortcut = convolution(inputs, width, 1, stride) if project else nn.Identity()
        self.act = nn.LeakyReLU()

    def forward(self, values: Float[Tensor, "b c *s"]) -> Float[Tensor, "b d *t"]:
        inner = self.act(self.first_norm(self.first(values)))
        return self.act(self.second_norm(self.second(inner)) + self.shortcut(values))


class MapNorm(nn.Module):
    """The core's batch norm on a map: each channel over the batch and all places; moments move in its `after_step`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = BatchNorm(width, BatchNormSettings())

    def forward(self, values: Float[Tensor, "b c *s"]) -> Float[Tensor, "b c *s"]:
        # Free of copies for a map that is channels last in memory.
        rows = values.flatten(2).mT
        return self.norm(rows).mT.unflatten(2, values.shape[2:])


def residuals(inputs: int, width: int, number: int, rank: int, norm: Norm, stride: int = 1) -> nn.Sequential:
    """Blocks in a row; the first one projects, and strides."""
    first = Residual(inputs, width, rank, norm, stride=stride, project=True)
    return nn.Sequential(first, *(Residual(width, width, rank, norm, project=False) for _ in range(number - 1)))


def norm_of(norm: Norm, width: int) -> nn.Module:
    """A norm of each channel: over one item's places, or over the batch's."""
    # Torch's own instance norm copies maps that are channels last, and fails on maps of one place.
    return nn.GroupNorm(width, width) if norm == "instance" else MapNorm(width)


def convolution_of(rank: int) -> "type[nn.Conv2d] | type[nn.Conv3d]":
    """The convolution for images or for volumes."""
    return nn.Conv3d if rank == 3 else nn.Conv2d


def channels_last(values: Float[Tensor, "b c *s"]) -> Float[Tensor, "b c *s"]:
    """The same numbers with the channels of a place side by side in memory, which mixers and norms read fast."""
    layout = torch.channels_last_3d if values.ndim == 5 else torch.channels_last
    return values.contiguous(memory_format=layout)


@torch.no_grad()
def start(network: nn.Module, slope: float = 0.01) -> None:
    """He-normal kernels for a leaky ReLU, zero biases.

    References:
        He et al. 2015, "Delving deep into rectifiers", eq. 15.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
            nn.init.kaiming_normal_(module.weight, a=slope)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def fold_norms(network: nn.Module) -> None:
    """Lets every batch norm of a network fold the moments that it kept aside."""
    for module in network.modules():
        if isinstance(module, BatchNorm):
            module.after_step()
