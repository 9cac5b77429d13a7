"""Colour phantoms: the back of an eye with its vessels, and skin with a mole, each with the mask of what is drawn."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32
from PIL import Image, ImageDraw
from scipy.ndimage import binary_dilation, gaussian_filter

from armillary.core.random import derive_rng
from armillary.domains.medical.simulation.findings import texture

Colour = Float32[np.ndarray, "3 h w"]
Region = Bool[np.ndarray, "h w"]
_RETINA, _BLOOD = (0.80, 0.36, 0.16), (0.35, 1.15, 0.9)  # what is reflected; what a vessel's width absorbs
_SKIN, _MELANIN = (0.86, 0.66, 0.56), (0.9, 1.5, 2.0)
_THINNEST = 0.9  # pixels of a vessel at 256 rows


@dataclass(frozen=True)
class ColourPhantom:
    """A colour image in [0, 1], the true mask, what a second observer would draw, and where there is an image."""

    image: Colour
    mask: Region
    second: Region
    field: Region


def draw_fundus(seed: int, child: int, eye: str, size: int) -> ColourPhantom:
    """The back of an eye, size x size pixels: disc, macula and two trees of vessels; eye L or R is mirrored."""
    rng = derive_rng(seed, "fundus", child, eye)
    y, x = (np.mgrid[:size, :size].astype(np.float32) - (size - 1) / 2) / (size / 2)
    radius = np.hypot(x, y)
    side = 1.0 if eye == "R" else -1.0
    disc = np.array([side * rng.uniform(0.30, 0.45), rng.uniform(-0.06, 0.06)])
    width = _vessels(rng, disc, side, size)
    thick = gaussian_filter(width / np.float32(size / 64), size / 400)
    shade = 0.95 - 0.25 * radius**2 + 0.05 * texture(rng, size, size / 24)
    glow = np.exp(-(np.square(x - disc[0]) + np.square(y - disc[1])) / 0.012)
    macula = 0.35 * np.exp(-(np.square(x + side * 0.25) + np.square(y)) / 0.02)
    image = np.stack(
        [
            (base * shade * np.exp(-macula) + (0.95 - base) * 0.7 * glow) * np.exp(-absorbed * thick)
            for base, absorbed in zip(_RETINA, _BLOOD, strict=True)
        ]
    )
    field = radius < 0.97
    image = image * field + 0.012 * rng.standard_normal(image.shape, np.float32)
    mask = (width > 0) & field
    # Another hand leaves the finest vessels out, and draws the others broader, or a little beside.
    seen = (width > 1.2 * _THINNEST * size / 256) & field
    second = binary_dilation(seen) if rng.random() < 0.5 else np.roll(seen, 1, int(rng.integers(2)))
    return ColourPhantom(np.clip(image, 0, 1).astype(np.float32), mask, second, field)


def _vessels(rng: np.random.Generator, disc: np.ndarray, side: float, size: int) -> Float32[np.ndarray, "h w"]:
    """Width of the vessel at each pixel [pixels], 0 beside vessels: four arcs from the disc that fork on their way."""
    picture = Image.new("F", (size, size))
    pen = ImageDraw.Draw(picture)
    for turn in (0.6, -0.6, 2.3, -2.3):
        angle = np.pi * (side > 0) + turn + rng.normal(0, 0.15)
        _branch(pen, rng, disc, angle, -0.55 * np.sign(turn), rng.uniform(4.4, 6.2), size, 1.3)
    return np.asarray(picture, np.float32)


def _branch(
    pen: ImageDraw.ImageDraw, rng: np.random.Generator, start: np.ndarray, angle: float, bend: float,
    width: float, size: int, reach: float,
) -> None:  # fmt: skip
    """A vessel of `width` at 256 rows that bends, thins out and sends branches off."""
    place, step = start.copy(), 0.05
    for number in range(int(reach / step)):
        angle += bend * step + rng.normal(0, 0.09)
        following = place + step * np.array([np.cos(angle), np.sin(angle)])
        pixels = max(1, round(width * size / 256))
        ends = [tuple((point + 1) * size / 2) for point in (place, following)]
        pen.line(ends, fill=float(max(width * size / 256, 1e-3)), width=pixels)
        place = following
        if number > 2 and width > 2 * _THINNEST and rng.random() < 0.16:
            turn = rng.choice([-1, 1]) * rng.uniform(0.4, 0.9)
            _branch(pen, rng, place, angle + turn, -0.4 * turn, 0.66 * width, size, 0.6 * reach)
            width *= 0.9
        width = max(width * 0.985, _THINNEST)


def draw_skin(seed: int, index: int, size: int) -> ColourPhantom:
    """Skin with a mole of ragged edge and uneven pigment, size x size pixels, and some hairs over it."""
    rng = derive_rng(seed, "skin", index)
    y, x = (np.mgrid[:size, :size].astype(np.float32) - (size - 1) / 2) / (size / 2)
    dx, dy = x - rng.uniform(-0.2, 0.2), y - rng.uniform(-0.2, 0.2)
    angle = np.arctan2(dy, dx)
    edge = rng.uniform(0.3, 0.6) * (
        1 + sum(rng.normal(0, 0.10 / k) * np.cos(k * angle + rng.uniform(0, 6)) for k in (1, 2, 3, 5))
    )
    inside = edge - np.hypot(dx, dy * rng.uniform(0.8, 1.2))
    pigment = rng.uniform(0.5, 1.2) / (1 + np.exp(-inside / 0.03)) * (1 + 0.25 * texture(rng, size, size / 14))
    pigment += 0.06 + 0.03 * texture(rng, size, size / 40) + _hairs(rng, size)
    light = 0.96 - 0.12 * (np.square(x) + np.square(y))
    image = np.stack([base * light * np.exp(-m * pigment) for base, m in zip(_SKIN, _MELANIN, strict=True)])
    image = image + 0.01 * rng.standard_normal(image.shape, np.float32)
    mask, second = inside > 0, inside > rng.normal(0, 0.03)
    return ColourPhantom(np.clip(image, 0, 1).astype(np.float32), mask, second, np.ones_like(mask))


def _hairs(rng: np.random.Generator, size: int) -> Float32[np.ndarray, "h w"]:
    picture = Image.new("F", (size, size))
    pen = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(0, 6))):
        pen.line([tuple(rng.uniform(0, size, 2)) for _ in range(2)], fill=0.8, width=max(1, size // 128))
    return np.asarray(picture, np.float32)
