"""Images as rows of few numbers, as methods need them that see pixels and no shapes."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch.nn import functional

from armillary.core.domain import Items

_SIDE = {1: 4096, 2: 64, 3: 16}  # by the number of axes: 4,096 values of a channel at most


def shrunk_pixels(items: Items, places: Int64[np.ndarray, " n"]) -> Float32[np.ndarray, "n f"]:
    """Plain images (epoch 0) brought to at most 64 x 64, or 16 x 16 x 16, values a channel, one row an image."""
    rows = [shrunk(np.asarray(items[(0, int(place))]["image"], np.float32)) for place in places]
    return np.stack([row.reshape(-1) for row in rows]) if rows else np.zeros((0, 0), np.float32)


def shrunk(image: Float[np.ndarray, "c *s"]) -> Float32[np.ndarray, "c *t"]:
    """The image with means over boxes in place of its pixels, where it has more of them than fit."""
    side = _SIDE[image.ndim - 1]
    return of_size(image, [min(extent, side) for extent in image.shape[1:]])


def of_size(image: Float[np.ndarray, "c *s"], size: Sequence[int]) -> Float32[np.ndarray, "c *t"]:
    """The image at another size: means over boxes, which repeat pixels where the size is larger."""
    image = np.ascontiguousarray(image, np.float32)
    if image.shape[1:] == tuple(size):
        return image
    return functional.interpolate(torch.from_numpy(image)[None], size=tuple(size), mode="area")[0].numpy()
