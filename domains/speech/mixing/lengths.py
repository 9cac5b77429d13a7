"""Signals of different lengths brought to one."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float32

_FADE_S = 0.5


def fit(
    signals: Sequence[Float32[np.ndarray, "_"]], mode: Literal["min", "max"], length: int | None = None
) -> Float32[np.ndarray, "k t"]:
    """All signals cut to the shortest (min), or padded with zeros to the longest (max); then cut to `length`."""
    lengths = [len(signal) for signal in signals]
    wanted = min(lengths) if mode == "min" else max(lengths)
    wanted = wanted if length is None else min(wanted, length)
    fitted = np.zeros((len(signals), wanted), np.float32)
    for row, signal in zip(fitted, signals, strict=True):
        row[: len(signal)] = signal[:wanted]
    return fitted


def looped(noise: Float32[np.ndarray, " t"], length: int, sample_rate_hz: int) -> Float32[np.ndarray, " n"]:
    """`length` samples of a noise; a shorter one goes on with itself, faded over half a second with Hann slopes.

    One too short for such a fade is faded over half of itself; an empty one gives silence.
    """
    if len(noise) == 0:
        return np.zeros(length, np.float32)
    fade = min(round(_FADE_S * sample_rate_hz), len(noise) // 2)
    rising = np.hanning(2 * fade + 1)[:fade].astype(np.float32)
    whole = noise[:length]
    while len(whole) < length:
        cut = len(whole) - fade
        crossed = whole[cut:] * (1 - rising) + noise[:fade] * rising
        whole = np.concatenate((whole[:cut], crossed, noise[fade:]))
    return whole[:length]
