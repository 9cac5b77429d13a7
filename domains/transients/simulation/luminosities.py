"""Shapes of bolometric light curves in rest-frame days since maximum."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


def _sigmoid(x: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    return 1.0 / (1.0 + np.exp(-np.clip(x, -60.0, 60.0)))


@dataclass(frozen=True)
class Bazin:
    """exp(-s / fall) / (1 + exp(-s / rise)), shifted so that the maximum is at phase 0, plus a radioactive tail.

    The first light is at -`explosion` days: the product with 1 - exp(-(p + explosion)^2 / width^2) makes the earliest
    flux grow as the square of time (a fireball) and nothing shine before. `tail` is the tail's share, `tail_decay`
    its e-folding time [d].

    References:
        Bazin et al. 2009, "The core-collapse rate from the Supernova Legacy Survey", eq. 1.
    """

    rise: float
    fall: float
    explosion: float
    tail: float = 0.0
    tail_decay: float = 80.0

    def __call__(self, phase: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        shifted = phase + self.rise * np.log(self.fall / self.rise - 1.0)
        main = np.exp(np.minimum(-shifted / self.fall, 60.0)) * _sigmoid(shifted / self.rise)
        tail = self.tail * np.exp(np.minimum(-phase / self.tail_decay, 5.0)) * _sigmoid(phase / self.rise)
        since = np.maximum(phase + self.explosion, 0.0)
        return (main + tail) * -np.expm1(-((since / (0.55 * self.explosion)) ** 2))


@dataclass(frozen=True)
class Plateau:
    """A rise, a plateau of hydrogen recombination that fades linearly in magnitudes, a fall, a radioactive tail.

    rise, duration, drop_width: days; slope: of the plateau [mag/d]; drop: depth of the fall [mag].

    References:
        Olivares et al. 2010, "The standardized candle method for type II plateau supernovae", eq. 5 (same parts).
    """

    rise: float
    duration: float
    slope: float
    drop: float
    drop_width: float = 5.0

    def __call__(self, phase: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        fallen = _sigmoid((phase - self.duration) / self.drop_width)
        faded = self.slope * np.clip(phase, 0.0, self.duration) + 0.0098 * np.maximum(phase - self.duration, 0.0)
        since = np.maximum(phase + 2.5 * self.rise, 0.0)
        return 10.0 ** (-0.4 * (faded + self.drop * fallen)) * -np.expm1(-((since / self.rise) ** 2))


@dataclass(frozen=True)
class FallBack:
    """A Gaussian rise of width `rise` [d], then (1 + p / scale)^power: debris falling back onto a black hole.

    The power is -5/3 for a star disrupted by a black hole.

    References:
        Rees 1988, "Tidal disruption of stars by black holes of 10^6-10^8 solar masses in nearby galaxies", eq. 3.
    """

    rise: float
    scale: float
    power: float = -5.0 / 3.0

    def __call__(self, phase: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        decline = (1.0 + np.maximum(phase, 0.0) / self.scale) ** self.power
        return np.where(phase < 0, np.exp(-0.5 * (phase / self.rise) ** 2), decline)
