"""Detection by structure, which needs no noise level: lines of z^2 and |z|^2, and correlation between samples.

White noise has none of these. Linear modulations have a line of |z|^2 at their symbol rate; real-valued ones, carriers
and continuous-phase ones have lines of z^2; whatever is sampled above its bandwidth is correlated from sample to
sample. So is noise behind a narrow filter or over a leaking carrier, which counts as a burst. The noise of receiver
audio is filtered and one-sided in frequency, so that every window of it does.
"""

from functools import cache

import numpy as np
from jaxtyping import Float32, Float64

from armillary.core.errors import ConfigError
from armillary.core.random import derive_rng

SHORTEST = 16  # samples; in fewer there is no statistic to speak of
LAGS = 8
_DRAWN = 2**23  # samples of noise that a threshold is drawn from
_AT_ONCE = 2**20  # samples whose spectra are in memory together
_TAIL = 0.05  # share of the drawn windows that the exponential tail is fitted to


def cyclic_statistic(iq: Float32[np.ndarray, "n 2 l"]) -> Float64[np.ndarray, " n"]:
    """max(A - log l, B - log l/2, C - log m) over cycle frequencies a and m lags d, with E = sum |z|^2,

    A = max_a l |sum z^2 e^-jat|^2 / (2 E^2), B = max_(a>0) l |sum |z|^2 e^-jat|^2 / E^2 and
    C = max_d l |sum z*(t) z(t+d)|^2 / E^2.

    In white noise each term is nearly exponential of mean 1, so that every family has a like share in false alarms.
    No scale matters, nor a turn of the carrier. A window of zeros has the least value of all.

    References:
        Gardner 1991, "Exploitation of spectral redundancy in cyclostationary signals" (lines of both kinds).
    """
    step = max(1, _AT_ONCE // iq.shape[2])
    parts = [_statistic(iq[first : first + step]) for first in range(0, len(iq), step)]
    return np.concatenate(parts) if parts else np.zeros(0)


def cyclic_threshold(length: int, chance: float) -> float:
    """What the statistic of `length` samples of white noise exceeds with `chance`.

    The quantile of windows drawn from a fixed seed, the same at every call; below a chance of 5 %, where the draws
    get few, their exponential tail. Right to about a fifth of the chance down to 1e-3. A length costs 2 s once.

    Raises:
        ConfigError: windows too short for a statistic.
    """
    if length < SHORTEST:
        raise ConfigError(
            f"predict.window={length}: cyclic detection needs windows of at least {SHORTEST} samples; use "
            "predict.detect=energy."
        )
    noise = _of_noise(length)
    if chance >= _TAIL:
        return float(np.quantile(noise, 1 - chance))
    foot = float(np.quantile(noise, 1 - _TAIL))
    return foot + float((noise[noise > foot] - foot).mean()) * float(np.log(_TAIL / chance))


@cache
def _of_noise(length: int) -> Float64[np.ndarray, " n"]:
    """The statistic of windows of white complex Gaussian noise."""
    rng = derive_rng("cyclic detection", length)
    noise = rng.standard_normal((max(_DRAWN // length, 4096), 2, length), np.float32)
    return cyclic_statistic(noise)


def _statistic(iq: Float32[np.ndarray, "n 2 l"]) -> Float64[np.ndarray, " n"]:
    """The statistic of a few windows."""
    length = iq.shape[2]
    peak = np.abs(iq).max((1, 2), keepdims=True)
    # A largest value of one first: squares of squares neither over- nor underflow.
    rows = iq / np.where(peak > 0, peak, 1).astype(np.float64)
    wave = rows[:, 0] + 1j * rows[:, 1]
    power = np.square(rows).sum(1)
    energy = power.sum(1)
    square = np.abs(np.fft.fft(wave * wave, axis=1)).max(1)
    envelope = np.abs(np.fft.rfft(power, axis=1))[:, 1:].max(1)
    lags = [np.abs((np.conj(wave[:, :-lag]) * wave[:, lag:]).sum(1)) for lag in range(1, LAGS + 1)]
    scale = length / np.square(np.where(energy > 0, energy, 1.0))
    return np.maximum.reduce(
        [
            scale * np.square(square) / 2 - np.log(length),
            scale * np.square(envelope) - np.log(length / 2),
            scale * np.square(np.max(lags, 0)) - np.log(LAGS),
        ]
    )
