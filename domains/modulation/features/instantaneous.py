"""Amplitude, phase and frequency from sample to sample."""

import numpy as np
from jaxtyping import Complex128, Float64

Waves = Complex128[np.ndarray, "n l"]
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
NAMES = (
    "amplitude_std", "amplitude_kurtosis", *(f"amplitude_q{100 * level:g}" for level in _QUANTILES), "gamma_max",
    "frequency_mean", "frequency_std", "frequency_kurtosis", *(f"frequency_q{100 * level:g}" for level in _QUANTILES),
    "phase_std", "phase_std_absolute",
)  # fmt: skip


def instantaneous(wave: Waves) -> Float64[np.ndarray, "n f"]:
    """Moments and quantiles of |z|, of the step of the phase, and of the phase off its straight line.

    gamma_max is the highest power of the spectrum of the centred amplitude. Frequencies count without their sign, so
    that a mirrored spectrum has the same features.

    References:
        Azzouz and Nandi 1996, "Automatic modulation recognition of communication signals", chapter 2.
    """
    amplitude = np.abs(wave)
    centred = amplitude / amplitude.mean(1, keepdims=True) - 1
    gamma = (np.abs(np.fft.rfft(centred, axis=1)) ** 2).max(1) / wave.shape[1]
    phase = np.unwrap(np.angle(wave), axis=1)
    step = np.diff(phase, axis=1) / (2 * np.pi)
    mean = step.mean(1)
    strong = amplitude > amplitude.mean(1, keepdims=True)
    bent = (phase - phase.mean(1, keepdims=True) - 2 * np.pi * mean[:, None] * _centred_time(wave.shape[1])) * strong
    off = np.abs(step - mean[:, None])
    return np.column_stack(
        [
            centred.std(1), _kurtosis(amplitude), np.quantile(amplitude, _QUANTILES, axis=1).T, gamma, np.abs(mean),
            step.std(1), _kurtosis(step), np.quantile(off, _QUANTILES, axis=1).T, bent.std(1), np.abs(bent).std(1),
        ]
    )  # fmt: skip


def _centred_time(length: int) -> Float64[np.ndarray, "1 l"]:
    return (np.arange(length) - (length - 1) / 2)[None, :]


def _kurtosis(values: Float64[np.ndarray, "n l"]) -> Float64[np.ndarray, " n"]:
    centred = values - values.mean(1, keepdims=True)
    variance = np.maximum((centred**2).mean(1), 1e-12)
    return (centred**4).mean(1) / variance**2
