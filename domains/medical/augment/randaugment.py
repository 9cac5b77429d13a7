"""RandAugment on grey images: two operations drawn from a list, each of about one magnitude.

What stands for magnitude 10: a turn by 30 degrees, a shear of 0.3, a move by 0.3 of the side, contrast and brightness
between a tenth and nineteen tenths, sharpening by 0.9 of the difference from a blurred image, 4 bits, and solarising
from 0 on. Stretching and equalising have no strength. Colours are left alone, for a film has none.

References:
    Cubuk et al. 2020, "RandAugment: practical automated data augmentation with a reduced search space".
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float32

from armillary.domains.medical.augment.geometry import Step, rotation, shearing, translation
from armillary.domains.medical.augment.photometry import (
    equalised,
    more_contrast,
    posterised,
    sharper,
    solarised,
    stretched,
)
from armillary.domains.medical.settings import AugmentSettings

NUM_OPERATIONS = 2
_MOST = 10.0
_TURN_RAD, _SHEAR, _MOVE, _FACTOR = math.radians(30), 0.3, 0.3, 0.9

Chosen = tuple[str, float]  # operation, and strength from -1 to 1
Change = Callable[[Float32[np.ndarray, "c *s"], float], Float32[np.ndarray, "c *s"]]

MOVES: Mapping[str, Callable[[float, Sequence[int]], Step | None]] = {
    "rotate": lambda x, size: rotation(_TURN_RAD * x, len(size)),
    "shear_rows": lambda x, size: shearing(_SHEAR * x, 0.0, len(size)),
    "shear_columns": lambda x, size: shearing(0.0, _SHEAR * x, len(size)),
    "translate_rows": lambda x, size: translation(_MOVE * x * size[-2], 0.0, len(size)),
    "translate_columns": lambda x, size: translation(0.0, _MOVE * x * size[-1], len(size)),
}

OPERATIONS: Mapping[str, Change] = {
    "contrast": lambda image, x: np.clip(more_contrast(image, 1 + _FACTOR * x), 0, 1),
    "brightness": lambda image, x: np.clip(image * np.float32(1 + _FACTOR * x), 0, 1),
    "sharpness": lambda image, x: np.clip(sharper(image, _FACTOR * x), 0, 1),
    "autocontrast": lambda image, x: stretched(image),
    "equalise": lambda image, x: equalised(image),
    "posterise": lambda image, x: posterised(image, 8 - round(4 * abs(x))),
    "solarise": lambda image, x: solarised(image, 1 - abs(x)),
}

_NAMES = (*MOVES, *OPERATIONS)


def choose(settings: AugmentSettings, rng: np.random.Generator) -> list[Chosen]:
    """Two operations, perhaps the same twice, with strengths of either sign.

    The magnitude of each is normal about `settings.magnitude` with `settings.magnitude_std`, cut to 0 .. 10.
    """
    chosen: list[Chosen] = []
    for place in rng.integers(len(_NAMES), size=NUM_OPERATIONS):
        magnitude = min(max(rng.normal(settings.magnitude, settings.magnitude_std), 0.0), _MOST)
        sign = 1.0 if rng.random() < 0.5 else -1.0
        chosen.append((_NAMES[int(place)], sign * magnitude / _MOST))
    return chosen
