"""Grey values in [0, 1] to standardised ones, (x - mean) / deviation of each channel."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from armillary.core.domain import Items
from armillary.domains.medical.settings import MedicalData

_FIT_IMAGES = 1000  # from so many training images the moments are estimated
_LEAST_STD = 1e-6

Moments = tuple[Float[Tensor, " c"], Float[Tensor, " c"]]


def given_moments(data: MedicalData) -> Moments | None:
    """Mean and deviation of each channel as the settings have them; None where they are left to be estimated."""
    if data.mean is None or data.std is None:
        return None
    return _each_channel(data.mean, data.channels), _each_channel(data.std, data.channels)


def fitted_moments(items: Items, channels: int) -> Moments:
    """Of the pixels of training images without augmentation; zero and one where there is no image, or no contrast."""
    sums = np.zeros((3, channels))
    for index in np.unique(np.linspace(0, len(items) - 1, min(len(items), _FIT_IMAGES)).astype(int)):
        image = np.asarray(items[(0, int(index))]["image"], np.float64).reshape(channels, -1)
        sums += np.stack([np.full(channels, image.shape[1]), image.sum(1), np.square(image).sum(1)])
    number, total, squares = sums
    mean = total / np.maximum(number, 1)
    deviation = np.sqrt(np.maximum(squares / np.maximum(number, 1) - mean**2, 0))
    deviation[deviation < _LEAST_STD] = 1
    return torch.from_numpy(mean).float(), torch.from_numpy(deviation).float()


def standardised(
    image: Float[Tensor, "b c *s"], mean: Float[Tensor, " c"], std: Float[Tensor, " c"]
) -> Float[Tensor, "b c *s"]:
    """(x - mean) / std of each channel."""
    shape = (-1, *(1,) * (image.ndim - 2))
    return (image - mean.reshape(shape)) / std.reshape(shape)


def image_moments(image: Float[Tensor, "b c *s"]) -> tuple[Float[Tensor, "b c *ones"], Float[Tensor, "b c *ones"]]:
    """Mean and deviation of each image and channel by itself; an even image has deviation one."""
    axes = tuple(range(2, image.ndim))
    mean = image.mean(axes, keepdim=True)
    deviation = (image - mean).square().mean(axes, keepdim=True).sqrt()
    return mean, torch.where(deviation > _LEAST_STD, deviation, 1.0)


def _each_channel(values: Sequence[float], channels: int) -> Float[Tensor, " c"]:
    return torch.tensor(values, dtype=torch.float32).expand(channels).clone()
