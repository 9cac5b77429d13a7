"""All expert features of frames as one table."""

import numpy as np
from jaxtyping import Float32

from armillary.domains.modulation.features import cumulants as moments
from armillary.domains.modulation.features import instantaneous as samples
from armillary.domains.modulation.features import spectrum as frequencies

_AT_ONCE = 4096  # frames whose spectra are in memory together


def feature_names() -> tuple[str, ...]:
    """Names of the columns."""
    return (*moments.NAMES, *samples.NAMES, *frequencies.NAMES)


def expert_features(iq: Float32[np.ndarray, "n 2 l"]) -> Float32[np.ndarray, "n f"]:
    """One row a frame. Level, carrier phase and the sign of frequency do not matter; zeros have finite features."""
    rows = [_features(iq[first : first + _AT_ONCE]) for first in range(0, len(iq), _AT_ONCE)]
    return np.concatenate(rows) if rows else np.zeros((0, len(feature_names())), np.float32)


def _features(iq: Float32[np.ndarray, "n 2 l"]) -> Float32[np.ndarray, "n f"]:
    wave = iq[:, 0].astype(np.complex128) + 1j * iq[:, 1]
    power = (np.abs(wave) ** 2).mean(1, keepdims=True)
    wave = np.where(power > 0, wave / np.sqrt(np.where(power > 0, power, 1.0)), 1e-6)
    parts = (moments.cumulants(wave), samples.instantaneous(wave), frequencies.spectrum(wave))
    return np.concatenate(parts, 1).astype(np.float32)
