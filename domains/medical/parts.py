"""Parts of images: where random ones lie, and how one is cut out."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Shaped


def place_part(shape: Sequence[int], size: Sequence[int], rng: np.random.Generator) -> list[int]:
    """Where a part begins along each axis: anywhere inside; at 0 where the image is smaller."""
    return [int(rng.integers(max(own - part, 0) + 1)) for own, part in zip(shape, size, strict=True)]


def cut(image: Shaped[np.ndarray, "c *s"], start: Sequence[int], size: Sequence[int]) -> Shaped[np.ndarray, "c *t"]:
    """A part of an image, zero beyond its border; a view where it lies inside."""
    inside = [
        slice(max(begin, 0), max(min(begin + length, own), 0))
        for begin, length, own in zip(start, size, image.shape[1:], strict=True)
    ]
    part = image[(slice(None), *inside)]
    if part.shape[1:] == tuple(size):
        return part
    out = np.zeros((len(image), *size), image.dtype)
    places = zip(inside, start, part.shape[1:], strict=True)
    out[(slice(None), *(slice(own.start - begin, own.start - begin + n) for own, begin, n in places))] = part
    return out
