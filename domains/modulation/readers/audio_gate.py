"""Which windows of receiver audio hold a burst, without knowing the modulation or the kind of receiver.

A single-sideband receiver is louder during a burst; an FM receiver is quieter, because the carrier silences the noise
of the discriminator. In both, the noise between bursts has the broader spectrum.
"""

import numpy as np
from jaxtyping import Bool, Float32, Float64

SEPARATION_DB = 3.0  # means of two states closer than this are one state: a transmission all the way
SILENCE_DB = 25.0  # below the median: an FM carrier without modulation, or no audio at all
_BANDS = 64
_LOWEST_BAND = 1e-3  # cycles a sample; what is slower is the discriminator's offset, not signal
_FLOOR = 1e-12


def burst_windows(audio: Float32[np.ndarray, "n t"]) -> Bool[np.ndarray, " n"]:
    """Whether each of the windows of one recording holds a burst.

    Windows without audible signal are left out. The others are parted in two by the level of their first difference,
    where noise and burst differ most in either receiver; the state with the narrower mean spectrum is the burst. With
    less than SEPARATION_DB between the two every audible window counts as burst.
    """
    spectrum = _power_spectra(audio)
    heard = spectrum[:, int(np.ceil(_LOWEST_BAND * audio.shape[1])) :]
    level = _decibels(heard.sum(1))
    audible = np.isfinite(level) & (level > np.median(level) - SILENCE_DB) & (heard.sum(1) > _FLOOR)
    kept = np.flatnonzero(audible)
    steps = _decibels(np.square(np.diff(audio[kept].astype(np.float64), axis=1)).mean(1))
    if len(kept) < 2:
        return audible
    high = steps > two_class_threshold(steps)
    if high.all() or not high.any() or steps[high].mean() - steps[~high].mean() < SEPARATION_DB:
        return audible
    narrower = _breadth(heard[kept[high]]) < _breadth(heard[kept[~high]])
    burst = np.zeros(len(audio), np.bool_)
    burst[kept[high] if narrower else kept[~high]] = True
    return burst


def two_class_threshold(values: Float64[np.ndarray, " n"]) -> float:
    """The value that parts the others into two classes with the largest variance between them.

    References:
        Otsu 1979, "A threshold selection method from gray-level histograms", eq. 14.
    """
    ordered = np.sort(values)
    count = np.arange(1, len(ordered))
    below = np.cumsum(ordered)[:-1]
    above = ordered.sum() - below
    between = count * (len(ordered) - count) * (below / count - above / (len(ordered) - count)) ** 2
    best = int(np.argmax(between))
    return float(ordered[best] + ordered[best + 1]) / 2


def _power_spectra(audio: Float32[np.ndarray, "n t"]) -> Float64[np.ndarray, "n f"]:
    taper = np.hanning(audio.shape[1])
    return np.square(np.abs(np.fft.rfft(np.nan_to_num(audio.astype(np.float64)) * taper, axis=1)))


def _breadth(spectra: Float64[np.ndarray, "n f"]) -> float:
    """Number of bands that the mean spectrum fills: the exponential of its entropy."""
    bands = np.array([part.sum() for part in np.array_split(spectra.mean(0), _BANDS)])
    share = bands / bands.sum() + _FLOOR
    return float(np.exp(-(share * np.log(share)).sum()))


def _decibels(power: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    return 10 * np.log10(power + _FLOOR)
