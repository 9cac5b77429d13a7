"""Times and frequencies of samples in units that suit a reader."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64


@dataclass(frozen=True)
class Axis:
    """What a number of samples, or a share of the sample rate, is multiplied with, and the label of its axis."""

    scale: float
    label: str


def time_axis(sample_rate_hz: float, samples: int) -> Axis:
    """Time in ms, in s where `samples` last longer than a second; in samples where the rate [Hz] is unknown."""
    if not np.isfinite(sample_rate_hz):
        return Axis(1.0, "Time [samples]")
    if samples > sample_rate_hz:
        return Axis(1 / sample_rate_hz, "Time [s]")
    return Axis(1e3 / sample_rate_hz, "Time [ms]")


def frequency_axis(sample_rate_hz: float) -> Axis:
    """Frequency from the centre in kHz, in cycles per sample where the rate [Hz] is unknown."""
    if not np.isfinite(sample_rate_hz):
        return Axis(1.0, "Frequency [1/sample]")
    return Axis(sample_rate_hz / 1e3, "Frequency [kHz]")


def decibel(power: Float64[np.ndarray, "*shape"], floor_db: float = -80.0) -> Float64[np.ndarray, "*shape"]:
    """Power over the highest finite one [dB], no lower than the floor; NaN stays NaN."""
    highest = np.nanmax(power, initial=0.0)
    ratio = power / (highest if highest > 0 else 1.0)
    return 10 * np.log10(np.maximum(ratio, 10 ** (floor_db / 10)))
