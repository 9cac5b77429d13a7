"""Between images and rows of patches: what a masked auto-encoder predicts."""

from math import prod

from jaxtyping import Float
from torch import Tensor

from armillary.domains.medical.systems.padding import cut, padded


def to_patches(image: Float[Tensor, "b c *s"], side: int) -> Float[Tensor, "b l f"]:
    """The pixels of every patch, row-major, channels last; zeros beyond the end of the image."""
    rank = image.ndim - 2
    whole = padded(image, (side,) * rank)
    pairs = [size for extent in whole.shape[2:] for size in (extent // side, side)]
    blocks = whole.reshape(*whole.shape[:2], *pairs)
    outer, inner = range(2, 2 + 2 * rank, 2), range(3, 3 + 2 * rank, 2)
    return blocks.permute(0, *outer, *inner, 1).flatten(1 + rank).flatten(1, rank)


def from_patches(patches: Float[Tensor, "b l f"], shape: tuple[int, ...], side: int) -> Float[Tensor, "b c *s"]:
    """The inverse of `to_patches` for images of `shape` (c, *s): what lies beyond their end is cut off."""
    channels, *extents = shape
    rank = len(extents)
    counts = patch_counts(tuple(extents), side)
    blocks = patches.reshape(patches.shape[0], *counts, *(side,) * rank, channels)
    pairs = [axis for index in range(rank) for axis in (1 + index, 1 + rank + index)]
    image = blocks.permute(0, 1 + 2 * rank, *pairs)
    for axis in range(rank):
        image = image.flatten(2 + axis, 3 + axis)
    return cut(image, extents)


def patch_counts(extents: tuple[int, ...], side: int) -> tuple[int, ...]:
    """Patches along every axis; the last one may reach beyond the image."""
    return tuple(-(-extent // side) for extent in extents)


def patch_pixels(side: int, rank: int, channels: int) -> int:
    """Numbers in one patch."""
    return prod((side,) * rank) * channels
