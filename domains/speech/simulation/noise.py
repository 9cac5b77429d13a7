"""Noise of a colour, with a level that wanders."""

import numpy as np
from jaxtyping import Float32

from armillary.core.random import derive_rng

_LEVEL = 0.03  # root mean square of what comes out
_LOWEST_HZ = 60.0  # below it the spectrum is flat
_WANDER_S, _WANDER_DB = 0.5, 3.0  # between two draws of the level, and its standard deviation


def coloured_noise(seconds: float, sample_rate_hz: int, exponent: float, seed: int) -> Float32[np.ndarray, " t"]:
    """Gaussian noise with power falling as 1 / f^exponent (0 white, 1 pink, 2 brown), root mean square 0.03."""
    rng = derive_rng(seed, "noise", round(1000 * exponent))
    length = round(seconds * sample_rate_hz)
    spectrum = np.fft.rfft(rng.standard_normal(length))
    frequency_hz = np.maximum(np.fft.rfftfreq(length, 1 / sample_rate_hz), _LOWEST_HZ)
    noise = np.fft.irfft(spectrum * frequency_hz ** (-exponent / 2), length)
    knots = rng.normal(0, _WANDER_DB, 2 + int(seconds / _WANDER_S))
    level_db = np.interp(np.arange(length) / (_WANDER_S * sample_rate_hz), np.arange(len(knots)), knots)
    noise *= 10 ** (level_db / 20)
    return (noise * (_LEVEL / np.sqrt(np.mean(np.square(noise))))).astype(np.float32)
