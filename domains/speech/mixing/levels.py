"""Levels of voices and noises, and the gains of the two known rules: LibriMix's (loudness) and WSJ0-mix's (decibel)."""

import math
from functools import lru_cache

import numpy as np
import pyloudnorm
from jaxtyping import Float, Float32, Float64
from scipy.ndimage import maximum_filter1d
from scipy.signal import lfilter

PEAK = 0.9  # what is too loud is brought down to this peak, in both rules
_BLOCK_S = 0.4  # gating block of BS.1770
_SMOOTH_S, _HANGOVER_S, _MARGIN_DB = 0.03, 0.2, 15.9  # of P.56


def loudness_lufs(signal: Float32[np.ndarray, " t"], sample_rate_hz: int) -> float:
    """Integrated loudness with both gates [LUFS]; -inf for silence and for what stays below the gate of -70 LUFS.

    The recommendation says nothing of a clip shorter than a gating block (0.4 s): it is repeated until it fills one,
    which leaves its mean power as it is. An empty clip is silent.

    References:
        Recommendation ITU-R BS.1770-4 (2015).
    """
    if not len(signal):
        return -math.inf
    block = math.ceil(_BLOCK_S * sample_rate_hz)
    if len(signal) < block:
        signal = np.resize(signal, block)
    return float(_meter(sample_rate_hz).integrated_loudness(signal))


def active_level_db(signal: Float32[np.ndarray, " t"], sample_rate_hz: int) -> float:
    """Energy over the time in which someone speaks, as a level [dB re full scale]; -inf for silence.

    Speech is on where the envelope of the last 0.2 s came within 15.9 dB of the level itself. No band filter is
    applied: the recommendation wants one, and tools that do apply it differ by some tenths of a dB. A signal without
    such a threshold (one click, one sample) gets its mean power.

    References:
        Recommendation ITU-T P.56 (2011), method B.
    """
    energy = float(np.square(signal, dtype=np.float64).sum())
    if energy == 0:
        return -math.inf
    envelope = _held_envelope(signal, sample_rate_hz)
    threshold = float(envelope.max()) * 2.0 ** -np.arange(16)
    active = np.array([np.count_nonzero(envelope >= level) for level in threshold])
    level_db = 10 * np.log10(energy / active)
    margin_db = level_db - 20 * np.log10(threshold)
    above = np.flatnonzero(margin_db >= _MARGIN_DB)
    if not len(above) or above[0] == 0:
        return 10 * math.log10(energy / len(signal))
    last = int(above[0])
    share = (_MARGIN_DB - margin_db[last - 1]) / (margin_db[last] - margin_db[last - 1])
    return float(level_db[last - 1] + share * (level_db[last] - level_db[last - 1]))


def level_gain(level_db: float, wanted_db: float, peak: float = 0.0) -> float:
    """Factor that brings a recording from one level to another; 1 where it is silent (-inf).

    A recording whose peak would reach 1.0 gets peak 0.9 instead.

    References:
        Cosentino et al. 2020, "LibriMix: an open-source dataset for generalizable speech separation".
    """
    if not math.isfinite(level_db):
        return 1.0
    gain = 10 ** ((wanted_db - level_db) / 20)
    return PEAK / peak if gain * peak >= 1 else gain


def sum_factor(peak: float) -> float:
    """What all parts of a mixture are multiplied with, so that their sum does not exceed 0.9 (LibriMix)."""
    return PEAK / peak if peak > PEAK else 1.0


def full_scale_factor(mixture: Float[np.ndarray, " t"], sources: Float[np.ndarray, "k t"]) -> float:
    """What all parts of a mixture are multiplied with, so that the loudest sample of any is 0.9 (WSJ0-mix)."""
    parts = [float(np.abs(part).max(initial=0.0)) for part in (mixture, sources)]
    return PEAK / max(parts) if max(parts) > 0 else 1.0


def decibel_offsets(uniform: Float64[np.ndarray, " k"], range_db: float) -> Float64[np.ndarray, " k"]:
    """Level of each voice [dB] from numbers in (0, 1): x/2, ..., -x/2 with x even over 0 to `range_db`.

    Two voices follow the lists of WSJ0-2mix. Of more voices, those between the first and the last lie evenly between
    them. One voice is at 0 dB.
    """
    count = len(uniform)
    if count == 1:
        return np.zeros(1)
    span = range_db * uniform[0]
    return np.concatenate(([0.5], 0.5 - uniform[2:], [-0.5])) * span


@lru_cache
def _meter(sample_rate_hz: int) -> pyloudnorm.Meter:
    return pyloudnorm.Meter(sample_rate_hz)


def _held_envelope(signal: Float32[np.ndarray, " t"], sample_rate_hz: int) -> Float64[np.ndarray, " u"]:
    """The smoothed envelope's largest value in the last 0.2 s, until it has faded behind the end."""
    tail = np.zeros(math.ceil((_HANGOVER_S + 5 * _SMOOTH_S) * sample_rate_hz))
    pole = math.exp(-1 / (_SMOOTH_S * sample_rate_hz))
    rectified = np.abs(np.concatenate((signal, tail)))
    envelope = lfilter([(1 - pole) ** 2], [1, -2 * pole, pole**2], rectified)
    hold = math.ceil(_HANGOVER_S * sample_rate_hz) + 1
    return maximum_filter1d(envelope, hold, origin=(hold - 1) // 2, mode="constant", cval=0.0)
