"""Where the power lies in frequency, and the lines that powers of the signal have."""

import numpy as np
from jaxtyping import Complex128, Float64

Waves = Complex128[np.ndarray, "n l"]
_BANDS = 16
_LAGS = (1, 2, 4, 6, 8, 12, 16)
NAMES = (
    *(f"band_{number}" for number in range(_BANDS)), "flatness", "asymmetry", "width",
    "line_square", "line_fourth", "line_eighth", "line_envelope", "line_envelope_place",
    *(f"correlation_{lag}" for lag in _LAGS),
)  # fmt: skip


def spectrum(wave: Waves) -> Float64[np.ndarray, "n f"]:
    """Shares of power [log10] by |frequency|, flatness, asymmetry, width; the strongest lines of z^2, z^4, z^8, |z|^2.

    A line is the highest bin of the spectrum over the mean of all: a power of the signal that undoes its modulation
    leaves a carrier, and the envelope of linear modulations has a line at the symbol rate.

    References:
        Gardner 1991, "Exploitation of spectral redundancy in cyclostationary signals" (lines of powers).
    """
    window = np.hanning(wave.shape[1] + 2)[1:-1]
    power = np.abs(np.fft.fft(wave * window, axis=1)) ** 2
    power /= power.sum(1, keepdims=True)
    frequency = np.fft.fftfreq(wave.shape[1])
    place = np.minimum((np.abs(frequency) * 2 * _BANDS).astype(np.int64), _BANDS - 1)
    bands = np.stack([power[:, place == band].sum(1) for band in range(_BANDS)], 1)
    flatness = np.exp(np.log(power + 1e-12).mean(1)) / power.mean(1)
    asymmetry = np.abs(power[:, frequency > 0].sum(1) - power[:, (frequency < 0) & (frequency > -0.5)].sum(1))
    width = np.sqrt((power * frequency**2).sum(1))
    lines = [_line(wave**order, window)[0] for order in (2, 4, 8)]
    envelope, at = _line(np.abs(wave) ** 2 - (np.abs(wave) ** 2).mean(1, keepdims=True), window)
    lags = [np.abs((np.conj(wave[:, :-lag]) * wave[:, lag:]).mean(1)) for lag in _LAGS]
    return np.column_stack([np.log10(bands + 1e-9), flatness, asymmetry, width, *lines, envelope, at, *lags])


def _line(
    wave: np.ndarray, window: Float64[np.ndarray, " l"]
) -> tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, " n"]]:
    """Height [log10, over the mean] and |frequency| [cycles a sample] of the strongest line."""
    power = np.abs(np.fft.fft(wave * window, axis=1)) ** 2
    place = power.argmax(1)
    height = power[np.arange(len(power)), place] / np.maximum(power.mean(1), 1e-12)
    return np.log10(height + 1e-9), np.abs(np.fft.fftfreq(wave.shape[1]))[place]
