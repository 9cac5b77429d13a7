"""Pictures that people look at: contours of masks and heat maps over the image, with the notice written on them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8
from matplotlib import colormaps
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo
from scipy.ndimage import binary_erosion

from armillary.core.files import atomic_write
from armillary.core.plotting import GREEN, ORANGE, PURPLE, SKY, VERMILLION
from armillary.domains.medical.notice import NOTICE

Colour = UInt8[np.ndarray, "h w 3"]
COLOURS = (SKY, ORANGE, GREEN, PURPLE, VERMILLION)
_HEAT = "inferno"
_READABLE = 96  # pixels of a side from which the notice can be read on a picture


def write_png(path: Path, picture: Image.Image) -> None:
    """A PNG whose comment is the notice; the file appears whole."""
    info = PngInfo()
    info.add_text("Comment", NOTICE)
    with atomic_write(path) as temporary:
        picture.save(temporary, format="PNG", pnginfo=info)


def write_mask(path: Path, mask: Bool[np.ndarray, "h w"]) -> None:
    """One bit a pixel, white inside."""
    write_png(path, Image.fromarray(mask).convert("1"))


def write_looked_at(path: Path, picture: Colour) -> None:
    """A colour picture with the notice in its lower left corner, where it is large enough to read it."""
    image = Image.fromarray(picture)
    if min(image.size) >= _READABLE:
        size = max(10, image.height // 50)
        pen = ImageDraw.Draw(image)
        place = (4, image.height - size - 6)
        pen.text(place, NOTICE, fill="white", stroke_width=1, stroke_fill="black", font_size=size)
    write_png(path, image)


def colour_of(image: Float32[np.ndarray, "c h w"]) -> Colour:
    """Grey or colour in [0, 1] as RGB of 8 bits."""
    three = np.broadcast_to(image, (3, *image.shape[1:])) if len(image) == 1 else image[:3]
    return np.round(255 * np.clip(three, 0, 1)).astype(np.uint8).transpose(1, 2, 0).copy()


def contoured(picture: Colour, masks: Bool[np.ndarray, "k h w"]) -> Colour:
    """The picture with the inner edge of each mask in a colour of its own."""
    drawn = picture.copy()
    width = max(1, min(picture.shape[:2]) // 256)
    for mask, colour in zip(masks, _cycled(len(masks)), strict=True):
        drawn[mask & ~np.asarray(binary_erosion(mask, iterations=width), np.bool_)] = colour
    return drawn


def heated(picture: Colour, heat: Float[np.ndarray, "h w"]) -> Colour:
    """The picture under a heat map in [0, 1], which covers the more the higher it is."""
    shades = colormaps[_HEAT](heat)[..., :3]
    cover = 0.65 * np.clip(heat, 0, 1)[..., None]
    return np.round((1 - cover) * picture + 255 * cover * shades).astype(np.uint8)


def _cycled(count: int) -> Sequence[tuple[int, ...]]:
    codes = [COLOURS[k % len(COLOURS)] for k in range(count)]
    return [tuple(int(code[i : i + 2], 16) for i in (1, 3, 5)) for code in codes]
