"""Findings of a phantom: what each adds to the rays' way through water [cm], and where it is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from scipy.ndimage import gaussian_filter

from armillary.domains.medical.simulation.anatomy import Chest, Lung, Plane, Region

LUNG_DENSITY = 0.24  # of air-filled lung over water's


@dataclass(frozen=True)
class Finding:
    """What a finding changes: centimetres of water added, and the pixels that an expert would mark."""

    water: Plane
    region: Region


def draw_finding(name: str, chest: Chest, rng: np.random.Generator, step_mm: float) -> Finding:
    """One finding of a chest; all randomness from the generator. step_mm: distance of pixels at the patient [mm]."""
    return _DRAW[name](chest, rng, step_mm)


def texture(rng: np.random.Generator, size: int, blur: float) -> Float32[np.ndarray, "h w"]:
    """Smooth noise of mean 0 and deviation 1; blur: deviation of its grain [pixels]."""
    noise = gaussian_filter(rng.standard_normal((size, size), np.float32), blur, mode="wrap", truncate=3.0)
    return (noise - noise.mean()) / max(float(noise.std()), 1e-6)


def _opacity(chest: Chest, rng: np.random.Generator, step_mm: float) -> Finding:
    """Patches of consolidation: bells with ragged edges in one lung, sometimes in both."""
    water = np.zeros_like(chest.x_mm)
    ragged = 1 + 0.45 * texture(rng, len(water), 9 / step_mm)
    for lung in _sides(chest, rng, both=0.25):
        for _ in range(int(rng.integers(1, 4))):
            x, y = _inside(lung, chest, rng, 0.15, 0.9)
            wide, high = rng.uniform(15, 36, 2)
            bell = np.exp(-0.5 * (np.square((chest.x_mm - x) / wide) + np.square((chest.y_mm - y) / high)))
            water += np.float32(rng.uniform(2.6, 5.5)) * bell * np.clip(ragged, 0.2, 1.8) * (lung.path > 0)
    water = np.minimum(water, (1 - LUNG_DENSITY) * (chest.lungs[0].path + chest.lungs[1].path)).astype(np.float32)
    return Finding(water, water > max(0.8, 0.3 * float(water.max())))


def _nodule(chest: Chest, rng: np.random.Generator, step_mm: float) -> Finding:
    """One to three balls of 16 to 36 mm in free lung."""
    water, region = np.zeros_like(chest.x_mm), np.zeros(chest.x_mm.shape, np.bool_)
    for _ in range(int(rng.choice([1, 1, 2, 3]))):
        x, y = _inside(_sides(chest, rng, both=0.0)[0], chest, rng, 0.3, 0.85)
        radius = float(rng.uniform(8, 18))
        depth = 1 - (np.square(chest.x_mm - x) + np.square(chest.y_mm - y)) / radius**2
        water += (0.2 * radius * np.sqrt(np.clip(depth, 0, None))).astype(np.float32)
        region |= depth > 0
    return Finding(water, region)


def _effusion(chest: Chest, rng: np.random.Generator, step_mm: float) -> Finding:
    """Fluid at the bottom of the chest, with a level that climbs along the wall and hides the diaphragm."""
    water, region = np.zeros_like(chest.x_mm), np.zeros(chest.x_mm.shape, np.bool_)
    for lung in _sides(chest, rng, both=0.3):
        rise = float(rng.uniform(22, 90))
        level = chest.floor_mm + 26 - rise - (18 + 0.45 * rise) * lung.across * np.square(lung.across)
        under = np.clip((chest.y_mm - level) / 9, 0, 1)
        fluid = under * (1 - LUNG_DENSITY) * lung.path
        water += fluid.astype(np.float32)
        region |= (under > 0.5) & lung.region
    return Finding(water, region)


def _pneumothorax(chest: Chest, rng: np.random.Generator, step_mm: float) -> Finding:
    """Air between lung and wall, widest at the apex; the lung that shrank is a little denser, its edge a fine line."""
    lung = _sides(chest, rng, both=0.0)[0]
    width = float(rng.uniform(16, 46))
    high = np.clip((chest.floor_mm - chest.y_mm) / (chest.floor_mm - chest.top_mm), 0, 1)
    gap = width * (0.25 + 0.75 * high * np.sqrt(high))
    above = chest.y_mm - chest.top_mm - 0.9 * width
    inward = np.minimum(lung.wall_mm - gap, above)
    region = lung.region & (inward < 0)
    edge = 0.55 * np.exp(-np.square(inward / max(2.0, 0.6 * step_mm)))
    denser = 0.09 * np.clip(inward / 12, 0, 1)
    water = np.where(region, -LUNG_DENSITY * lung.path, denser * lung.path) + edge * (lung.path > 0)
    return Finding(water.astype(np.float32), region)


def _cardiomegaly(chest: Chest, rng: np.random.Generator, step_mm: float) -> Finding:
    """Nothing besides the anatomy, whose heart is large already."""
    return Finding(np.zeros_like(chest.x_mm), chest.heart)


def _sides(chest: Chest, rng: np.random.Generator, both: float) -> tuple[Lung, ...]:
    """One lung or, with chance `both`, the two."""
    first = int(rng.integers(2))
    return chest.lungs if rng.random() < both else (chest.lungs[first],)


def _inside(lung: Lung, chest: Chest, rng: np.random.Generator, low: float, high: float) -> tuple[float, float]:
    """A place in free lung, so far down of it [mm]."""
    down = (chest.y_mm - chest.top_mm) / (chest.floor_mm - chest.top_mm)
    free = lung.region & ~chest.heart & (lung.across > 0.15) & (lung.across < 0.88) & (down > low) & (down < high)
    rows, columns = np.nonzero(free if free.any() else lung.region)
    pick = int(rng.integers(len(rows)))
    return float(chest.x_mm[rows[pick], columns[pick]]), float(chest.y_mm[rows[pick], columns[pick]])


_DRAW: Mapping[str, Callable[[Chest, np.random.Generator, float], Finding]] = {
    "Opacity": _opacity,
    "Nodule": _nodule,
    "Effusion": _effusion,
    "Pneumothorax": _pneumothorax,
    "Cardiomegaly": _cardiomegaly,
}
