"""A speech-like signal with pauses, a frame at a time: harmonics of a voice, louder and softer, or nothing."""

import numpy as np
from jaxtyping import Float64

from armillary.domains.modulation.simulation.draws import Draws

PAUSE = 0.5  # share of frames that fall into a pause
LOUD, SPREAD = -4.2, 1.1  # median and standard deviation of the logarithm of the level in speech
LOWEST_HZ, HIGHEST_HZ = 90.0, 220.0  # pitch
_BAND_HZ, _EDGE_HZ = 2700.0, 300.0  # telephone band and how soft its end is
_HARMONICS = 32
_TILT = 0.5  # amplitudes fall with the frequency to this power
_EMPHASIS_S = 75e-6


def speech(
    draws: Draws, num_samples: int, sample_rate_hz: float, emphasis: bool, always: bool = False
) -> Float64[np.ndarray, "n t"]:
    """Audio frames; with `emphasis` raised towards high frequencies as for broadcast FM (75 microseconds).

    always: no pauses.
    """
    level = np.exp(LOUD + SPREAD * draws.normal("level", 1))
    level = level if always else level * (draws.uniform("pause", 1) > PAUSE)
    pitch = LOWEST_HZ * (HIGHEST_HZ / LOWEST_HZ) ** draws.uniform("pitch", 1)
    frequency = pitch * np.arange(1, _HARMONICS + 1)[None, :]
    weight = (frequency / _BAND_HZ) ** -_TILT / (1 + np.exp((frequency - _BAND_HZ) / (_EDGE_HZ / 4)))
    weight = weight * np.exp(0.5 * draws.normal("formants", _HARMONICS))
    weight /= np.sqrt((weight**2).sum(1, keepdims=True) / 2)
    if emphasis:
        weight = weight * np.sqrt(1 + (2 * np.pi * frequency * _EMPHASIS_S) ** 2)
    phase = 2 * np.pi * draws.uniform("harmonics", _HARMONICS)
    return level * _cosines(frequency / sample_rate_hz, phase, weight, num_samples)


def _cosines(
    frequency: Float64[np.ndarray, "n h"],
    phase: Float64[np.ndarray, "n h"],
    weight: Float64[np.ndarray, "n h"],
    num_samples: int,
) -> Float64[np.ndarray, "n t"]:
    """sum_h w cos(2 pi f t + phase), on every eighth sample and a cubic between: speech is slow beside the rate."""
    from scipy.interpolate import CubicSpline

    coarse = np.arange(-8, num_samples + 16, 8)
    turns = 2 * np.pi * frequency[:, :, None] * coarse[None, None, :] + phase[:, :, None]
    values = np.einsum("nh,nht->nt", weight, np.cos(turns))
    return CubicSpline(coarse, values, axis=1)(np.arange(num_samples))
