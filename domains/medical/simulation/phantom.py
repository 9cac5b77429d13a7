"""Frontal chest films of simulated people, with their findings and the masks of organs and findings.

A film is what a detector would see of exp(-mu t): path lengths through soft tissue, bone and lung, primary rays and
scatter, blur, quanta; shown as the logarithm, dense bright. Shapes and numbers are plausible, none was measured.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32
from scipy.ndimage import gaussian_filter, zoom

from armillary.core.random import derive_rng
from armillary.domains.medical.simulation.anatomy import FIELD_MM, Chest, Plane, Region, chest_of
from armillary.domains.medical.simulation.findings import LUNG_DENSITY, draw_finding, texture
from armillary.domains.medical.simulation.patients import FINDINGS, Visit, visits

STRUCTURES = ("left_lung", "right_lung", "heart")
MU_WATER, MU_BONE = 0.17, 0.40  # 1/cm, about those of a hard beam
SCATTER = 0.22  # of the primary rays, behind a grid
_SCATTER_MM = 28.0
_BLUR_MM = 1.3


@dataclass(frozen=True)
class Film:
    """A chest film and the truth about it.

    image: grey values in [0, 1], air dark; masks: of both lungs (with what fills them), the heart and every finding
    of FINDINGS, empty where it is not there; spacing_mm: distance of pixels at the detector [mm].
    """

    visit: Visit
    image: Float32[np.ndarray, "h w"]
    masks: Mapping[str, Bool[np.ndarray, "h w"]]
    spacing_mm: float

    @property
    def labels(self) -> dict[str, int]:
        """1 for each finding that is there, 0 for the others."""
        return {name: int(name in self.visit.findings) for name in FINDINGS}


def draw_films(seed: int, num_patients: int, size: int) -> Iterator[Film]:
    """The films of the first patients, size x size pixels; each is a function of (seed, patient, film) alone."""
    for visit in visits(seed, num_patients):
        yield draw_film(seed, visit, size)


def draw_film(seed: int, visit: Visit, size: int) -> Film:
    """The film of a visit, size x size pixels."""
    rng = derive_rng(seed, "film", visit.patient.number, visit.number)
    step_mm = FIELD_MM / size / visit.magnification
    chest = chest_of(visit, size)
    masks = {
        "left_lung": chest.lungs[0].region,
        "right_lung": chest.lungs[1].region,
        "heart": chest.heart,
    } | {name: np.zeros(chest.heart.shape, np.bool_) for name in FINDINGS}
    added = np.zeros_like(chest.soft)
    for name in FINDINGS:
        if name in visit.findings:
            # By the patient alone: on the next film it is where it was.
            place = derive_rng(seed, "finding", visit.patient.number, name)
            finding = draw_finding(name, chest, place, step_mm)
            added, masks[name] = added + finding.water, finding.region
    attenuation = MU_WATER * _water(chest, added, rng, step_mm) + (MU_BONE - MU_WATER) * chest.bone
    seen = _expose(attenuation, visit, rng, size)
    return Film(visit, _develop(seen, chest.soft > 6, rng), masks, FIELD_MM / size)


def _water(chest: Chest, added: Plane, rng: np.random.Generator, step_mm: float) -> Plane:
    """Soft tissue on the rays' way [cm of water]: the trunk, less the air of the lungs where no heart is, vessels.

    What findings add can fill the air that is there, no more.
    """
    lung = chest.lungs[0].path + chest.lungs[1].path
    air = (1 - LUNG_DENSITY) * np.maximum(lung - chest.heart_path, 0.12 * lung)
    hilum = np.exp(-np.square((np.abs(chest.x_mm) - 38) / 17) - np.square((chest.y_mm - chest.top_mm - 118) / 34))
    reach = np.hypot(np.abs(chest.x_mm) - 30, chest.y_mm - chest.top_mm - 118)
    vessels = 0.6 * texture(rng, len(lung), 2.6 / step_mm) + 0.5 * texture(rng, len(lung), 7 / step_mm)
    markings = (0.85 * vessels * np.exp(-reach / 85) + 1.7 * hilum) * np.minimum(lung / 6, 1)
    return np.maximum(chest.soft - air + np.minimum(added + markings, air), 0).astype(np.float32)


def _expose(attenuation: Plane, visit: Visit, rng: np.random.Generator, size: int) -> Plane:
    """Quanta at the detector over those in the open field: primary, scatter, blur, and the noise of their number."""
    primary = np.exp(-attenuation)
    spacing = FIELD_MM / size
    seen = gaussian_filter(primary, _BLUR_MM / spacing, truncate=3.0) + SCATTER * _scattered(primary, spacing)
    # Larger pixels catch more; photons are counted for those of 4 mm.
    quanta = visit.photons * (spacing / 4) ** 2
    noise = rng.standard_normal(seen.shape, np.float32) * np.sqrt(np.maximum(seen, 1e-5) / np.float32(quanta))
    return np.maximum(seen + noise, np.float32(2e-4)).astype(np.float32)


def _scattered(primary: Plane, spacing_mm: float) -> Plane:
    """Primary rays spread over centimetres, computed on a coarse grid."""
    factor = max(1, int(_SCATTER_MM / 3 / spacing_mm))
    edge = len(primary)
    padded = np.pad(primary, (0, -edge % factor), mode="edge")
    small = padded.reshape(len(padded) // factor, factor, -1, factor).mean((1, 3))
    wide = gaussian_filter(small, _SCATTER_MM / spacing_mm / factor, mode="nearest", truncate=3.0)
    return np.asarray(zoom(wide, factor, order=1, mode="nearest", grid_mode=True))[:edge, :edge]


def _develop(seen: Plane, trunk: Region, rng: np.random.Generator) -> Float32[np.ndarray, "h w"]:
    """Optical density in a window that a technician would choose, a little different every time; [0, 1]."""
    density = -np.log(seen)
    edge = len(density) // 8
    low, high = np.percentile(density[edge:-edge, edge:-edge][trunk[edge:-edge, edge:-edge]], [0.5, 99.5])
    low, high = low - rng.uniform(0.15, 0.5), high + rng.uniform(0.0, 0.4)
    grey = np.clip((density - low) / (high - low), 0, 1)
    return (grey ** rng.uniform(0.8, 1.1)).astype(np.float32)
