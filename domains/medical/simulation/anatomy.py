"""The chest of a phantom: how far rays run through lung, heart, bone and the rest [cm], and where the organs are.

Places are in millimetres at the patient: x to the patient's left (right in the image) from the midline, y downwards
from the middle of the film.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32

from armillary.domains.medical.simulation.patients import Visit

FIELD_MM = 400.0  # side of the film at the detector
Plane = Float32[np.ndarray, "h w"]
Region = Bool[np.ndarray, "h w"]
_CM = np.float32(0.1)


@dataclass(frozen=True)
class Lung:
    """One lung: where it is in the image, its path length [cm], and places in it.

    across: 0 at the midline side to 1 at the chest wall; floor_mm: height of the diaphragm; wall_mm: distance to the
    outer wall.
    """

    side: int  # 1: the patient's left
    region: Region
    path: Plane
    across: Plane
    floor_mm: Plane
    wall_mm: Plane


@dataclass(frozen=True)
class Chest:
    """Path lengths of one film's rays [cm] and the places of its pixels [mm]."""

    x_mm: Plane
    y_mm: Plane
    top_mm: float
    floor_mm: float
    lungs: tuple[Lung, Lung]  # the patient's left, right
    heart: Region
    heart_path: Plane
    soft: Plane
    bone: Plane


def places(visit: Visit, size: int) -> tuple[Plane, Plane]:
    """(x, y) at the patient of every pixel of a square film, turned and shifted as the visit says [mm]."""
    step = FIELD_MM / size / visit.magnification
    along = ((np.arange(size) - (size - 1) / 2) * step).astype(np.float32)
    x, y = along[None, :] - np.float32(visit.shift_mm[0]), along[:, None] - np.float32(visit.shift_mm[1])
    turn = np.float32(np.deg2rad(visit.turn_deg))
    return x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)


def chest_of(visit: Visit, size: int) -> Chest:
    """The chest of a visit without any findings but the size of its heart."""
    patient = visit.patient
    x, y = places(visit, size)
    length = patient.length_mm * (0.78 + 0.22 * visit.breath)
    top = -0.52 * patient.length_mm
    floor = top + length
    lungs = (_lung(visit, x, y, top, floor + 12, 1), _lung(visit, x, y, top, floor, -1))
    heart, heart_path = _heart(visit, x, y, floor)
    soft = _trunk(visit, x, y) + _mediastinum(x, y, top) + _breasts(visit, x, y)
    return Chest(x, y, top, floor, lungs, heart, heart_path, soft, _bones(visit, x, y, top))


def _lung(visit: Visit, x: Plane, y: Plane, top: float, floor: float, side: int) -> Lung:
    """Between two quarter ellipses that meet at the apex, above a dome that falls towards the chest wall."""
    width, apex, inner = visit.patient.half_width_mm, 0.44 * visit.patient.half_width_mm, 24.0
    out = side * x
    high = (y - top) / (floor - top)
    bow = np.sqrt(1 - np.square(1 - np.clip(high / 0.72, 0, 1)))
    wall = apex + (width - apex) * bow
    middle = apex - (apex - inner) * np.sqrt(1 - np.square(1 - np.clip(high / 0.34, 0, 1)))
    across = np.clip((out - middle) / np.maximum(wall - middle, 1), 0, 1)
    reach = (out - inner) / (width - inner) - 0.42
    dome = floor + np.where(reach > 0, 330 * reach, 60) * np.square(reach)
    region = (across > 0) & (across < 1) & (y < dome) & (high > 0)
    ends = np.clip((dome - y) / 40, 0, 1) * np.clip(high / 0.16, 0, 1)
    profile = np.sqrt(np.clip(4 * across * (1 - across), 0, 1) * ends)
    path = 0.78 * visit.patient.depth_mm * _CM * profile * region
    return Lung(side, region, _f32(path), _f32(across), _f32(dome), _f32(wall - out))


def _heart(visit: Visit, x: Plane, y: Plane, floor: float) -> tuple[Region, Plane]:
    """A tilted ellipsoid two thirds of which lie left of the midline; nearer the tube, and larger, in AP."""
    patient = visit.patient
    near = 1.09 if visit.view == "AP" else 1.0
    half = patient.heart * patient.half_width_mm * near
    tilt = np.deg2rad(patient.heart_tilt_deg)
    along = half / np.sqrt(np.cos(tilt) ** 2 + 0.55 * np.sin(tilt) ** 2)
    dx, dy = x - np.float32(half / 3), y - np.float32(floor - 0.62 * half)
    u = (dx * np.cos(tilt) + dy * np.sin(tilt)) / along
    v = (dy * np.cos(tilt) - dx * np.sin(tilt)) / (0.74 * along)
    inside = 1 - np.square(u) - np.square(v)
    return inside > 0, _f32(10.5 * np.sqrt(np.clip(inside, 0, None)) * half / 60)


def _trunk(visit: Visit, x: Plane, y: Plane) -> Plane:
    """Chest, shoulders and neck: an ellipse in every section."""
    patient = visit.patient
    shoulder = -0.40 * patient.length_mm
    chest = patient.half_width_mm + patient.wall_mm
    arms = 52 / (1 + np.exp((y - shoulder - 40) / 14)) if visit.view == "AP" else 34 / (1 + np.exp((y - shoulder) / 18))
    slope = np.square(np.clip((shoulder - y) / 78, 0, 1))
    half = (chest + arms) * (1 - slope) + 58 * slope
    thick = patient.depth_mm * (1 - 0.42 * slope)
    return _f32(thick * _CM * np.sqrt(np.clip(1 - np.square(x / half), 0, None)))


def _mediastinum(x: Plane, y: Plane, top: float) -> Plane:
    """Great vessels and the knob of the aorta, less the air of the trachea and the main bronchi."""
    vessels = 2.2 * np.exp(-np.square(x / 24)) / (1 + np.exp((top + 62 - y) / 10))
    knob = 2.6 * np.exp(-np.square((x - 27) / 13) - np.square((y - top - 84) / 15))
    fork = np.clip((y - top - 92) / 40, 0, 1)
    off = np.abs(np.abs(x) - 34 * fork)
    air = 1.7 * np.exp(-np.square(off / (7.5 - 1.5 * fork))) * (y < top + 128)
    return _f32(vessels + knob - air)


def _breasts(visit: Visit, x: Plane, y: Plane) -> Plane:
    if visit.patient.breast == 0:
        return np.zeros_like(x)
    wide = 0.56 * visit.patient.half_width_mm
    inside = 1 - np.square((np.abs(x) - 0.60 * visit.patient.half_width_mm) / wide) - np.square((y - 46) / (0.9 * wide))
    return _f32(3.4 * visit.patient.breast * np.sqrt(np.clip(inside, 0, None)))


def _bones(visit: Visit, x: Plane, y: Plane, top: float) -> Plane:
    """Spine, ribs behind and in front, clavicles, shoulder blades [cm of bone]."""
    patient = visit.patient
    out = np.abs(x)
    cage = np.float32(patient.half_width_mm + 7)
    share = np.clip(out / cage, 0, 1)
    spine = _flat(x / 17) * (1.2 + 0.25 * np.cos(y * np.float32(2 * np.pi / 25)))
    behind = y - top - 14 - 12 * np.sin(np.pi * share) * (1 - share) - 34 * np.square(share)
    front = y - top - 92 + 78 * np.clip(share - 0.35, 0, None)
    ribs = 0.62 * _bars(behind, patient.rib_step_mm, 10) * (out > 12)
    ribs += 0.36 * _bars(front, patient.rib_step_mm, 6) * np.clip((share - 0.36) / 0.1, 0, 1)
    # Rays run along the bone where the cage turns.
    ribs = ribs * np.minimum(1 / np.sqrt(1.06 - np.square(share)), 2.0) * (out < cage)
    bow = y - (top + 26 - 0.13 * out + 5 * np.sin(out / 28))
    clavicles = 0.95 * _flat(bow / 6.5) * (out > 13) * (out < 1.16 * patient.half_width_mm)
    return _f32(patient.bone * (spine + ribs + clavicles + _blades(visit, out, y, top)))


def _bars(height: Plane, step: float, count: int) -> Plane:
    """Parallel hollow bars, `count` of them from height 0 on."""
    number = np.round(height / step)
    off = np.abs(height - number * step) / (0.27 * step)
    hollow = _flat(off) * (0.72 + 0.38 * np.square(np.minimum(off, 1)))
    return hollow * ((number >= 0) & (number < count))


def _blades(visit: Visit, out: Plane, y: Plane, top: float) -> Plane:
    """Shoulder blades, over the lungs in AP and beside them in PA; upper arms."""
    aside = visit.patient.half_width_mm * (0.97 if visit.view == "AP" else 1.20)
    u = (out - aside - 0.16 * (y - top - 66)) / 34
    inside = 1 - np.square(u) - np.square((y - top - 66) / 62)
    plate = 0.36 * np.clip(4 * inside, 0, 1)
    arm = 1.5 * _flat((out - 1.46 * visit.patient.half_width_mm) / 12) * (y > top + 4)
    return plate + arm


def _flat(off: Plane) -> Plane:
    """exp(-off^4): 1 in the middle, soft edges at 1."""
    return np.exp(-np.square(np.square(off)))


def _f32(values: np.ndarray) -> Plane:
    return np.asarray(values, np.float32)
