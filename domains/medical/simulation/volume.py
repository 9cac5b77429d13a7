"""A small trunk in three dimensions, like a CT scan, with masks of its organs and perhaps a nodule."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32
from scipy.ndimage import gaussian_filter

from armillary.core.random import derive_rng

ORGANS = ("lungs", "liver", "nodule")
AIR_HU, LUNG_HU, SOFT_HU, LIVER_HU, BONE_HU, NODULE_HU = -1000.0, -820.0, 20.0, 75.0, 420.0, 40.0
Volume3 = Float32[np.ndarray, "p h w"]


@dataclass(frozen=True)
class Volume:
    """hounsfield: (planes from the feet up, rows from the front, columns from the patient's right) [HU].

    spacing_mm: distance of planes, rows and columns; masks of ORGANS, of which the nodule's is empty in some.
    """

    hounsfield: Volume3
    masks: Mapping[str, Bool[np.ndarray, "p h w"]]
    spacing_mm: tuple[float, float, float]


def draw_volume(seed: int, index: int, shape: tuple[int, int, int]) -> Volume:
    """The volume of that number, a function of (seed, index) alone; every second one has a nodule."""
    rng = derive_rng(seed, "volume", index)
    axes = [np.linspace(-1, 1, n, dtype=np.float32) for n in shape]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    build = float(rng.uniform(0.9, 1.05))
    trunk = np.square(x / (0.88 * build)) + np.square(y / (0.62 * build)) < 1
    lungs = np.zeros(shape, np.bool_)
    for side in (-1, 1):
        lungs |= _ball(z, y, x, (0.35, 0.0, side * 0.40 * build), (0.62, 0.44 * build, 0.30 * build))
    liver = _ball(z, y, x, (-0.62, -0.02, -0.32 * build), (0.36, 0.42 * build, 0.46 * build)) & trunk & ~lungs
    spine = np.square(x / 0.12) + np.square((y - 0.42 * build) / 0.11) < 1
    place = (float(rng.uniform(0.1, 0.6)), float(rng.uniform(-0.2, 0.2)), float(rng.choice([-1, 1]) * 0.4 * build))
    nodule = _nodule(rng, z, y, x, place) & lungs if index % 2 else np.zeros(shape, np.bool_)
    filled = ((trunk, SOFT_HU), (lungs, LUNG_HU), (liver, LIVER_HU), (spine & trunk, BONE_HU), (nodule, NODULE_HU))
    hounsfield = np.full(shape, AIR_HU, np.float32)
    for where, value in filled:
        hounsfield[where] = value
    noise = gaussian_filter(rng.standard_normal(shape, np.float32), 0.6)
    hounsfield = gaussian_filter(hounsfield, 0.5) + 40 * noise
    spacing = tuple(float(side / n) for side, n in zip((300.0, 300.0, 380.0), shape, strict=True))
    masks = {"lungs": lungs & ~nodule, "liver": liver, "nodule": nodule}
    return Volume(hounsfield.astype(np.float32), masks, (spacing[0], spacing[1], spacing[2]))


def _ball(
    z: Volume3, y: Volume3, x: Volume3, centre: tuple[float, ...], half: tuple[float, ...]
) -> Bool[np.ndarray, "p h w"]:
    parts = (np.square((along - c) / h) for along, c, h in zip((z, y, x), centre, half, strict=True))
    return sum(parts, np.zeros_like(z)) < 1


def _nodule(
    rng: np.random.Generator, z: Volume3, y: Volume3, x: Volume3, place: tuple[float, ...]
) -> Bool[np.ndarray, "p h w"]:
    """A ball with bumps."""
    parts = [along - c for along, c in zip((z, y, x), place, strict=True)]
    bumps = 1 + sum(0.12 * np.sin(rng.uniform(8, 16) * part + rng.uniform(0, 6)) for part in parts)
    return np.sqrt(sum(np.square(part) for part in parts)) < float(rng.uniform(0.12, 0.22)) * bumps
