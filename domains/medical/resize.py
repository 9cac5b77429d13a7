"""Images at another size: averaged where they shrink, so that nothing aliases; masks by their nearest pixel."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Shaped
from PIL import Image

Box = Sequence[tuple[float, float]]  # where a part begins and ends along each axis, in pixels
_CUBIC = Image.Resampling.BICUBIC


def resize(
    image: Float32[np.ndarray, "c *s"], size: Sequence[int], box: Box | None = None
) -> Float32[np.ndarray, "c *t"]:
    """The image, or the part of it in `box`, at `size`: cubic interpolation, wider where it shrinks, cut to [0, 1].

    Pixel i covers [i, i + 1), so that a box from 0 to the image's size is the whole image.
    """
    box = whole(image.shape[1:]) if box is None else box
    if tuple(size) == image.shape[1:] and _is_whole(box, image.shape[1:]):
        return image
    change = _volume if len(size) == 3 else _plane
    return np.clip(np.stack([change(channel, size, box) for channel in image]), 0, 1)


def resize_mask(
    mask: Shaped[np.ndarray, "k *s"], size: Sequence[int], box: Box | None = None
) -> Shaped[np.ndarray, "k *t"]:
    """The mask, or the part of it in `box`, at `size`: each pixel is the one that its centre lies in."""
    box = whole(mask.shape[1:]) if box is None else box
    for axis, (length, (start, stop)) in enumerate(zip(size, box, strict=True), start=1):
        centres = start + (np.arange(length) + 0.5) * ((stop - start) / length)
        places = np.clip(np.floor(centres).astype(np.int64), 0, mask.shape[axis] - 1)
        if not np.array_equal(places, np.arange(mask.shape[axis])):
            mask = mask.take(places, axis)
    return mask


def whole(size: Sequence[int]) -> Box:
    """The box that holds all of an image."""
    return [(0.0, float(length)) for length in size]


def _is_whole(box: Box, size: Sequence[int]) -> bool:
    return all(start == 0 and stop == length for (start, stop), length in zip(box, size, strict=True))


def _plane(plane: Float32[np.ndarray, "r c"], size: Sequence[int], box: Box) -> Float32[np.ndarray, "t u"]:
    (top, bottom), (left, right) = box
    picture = Image.fromarray(plane).resize((size[1], size[0]), _CUBIC, box=(left, top, right, bottom))
    return np.asarray(picture)


def _volume(volume: Float32[np.ndarray, "p r c"], size: Sequence[int], box: Box) -> Float32[np.ndarray, "o t u"]:
    """Each plane by itself, then all columns of planes as one tall picture."""
    if not _is_whole(box[1:], volume.shape[1:]) or tuple(size[1:]) != volume.shape[1:]:
        volume = np.stack([_plane(plane, size[1:], box[1:]) for plane in volume])
    flat = np.ascontiguousarray(volume).reshape(len(volume), -1)
    if size[0] != len(volume) or not _is_whole(box[:1], (len(volume),)):
        flat = _plane(flat, (size[0], flat.shape[1]), [box[0], (0.0, float(flat.shape[1]))])
    return flat.reshape(tuple(size))
