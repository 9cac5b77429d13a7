"""One voice out of noise that changes slowly."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64

from armillary.core.domain import Item
from armillary.domains.speech.settings import SpeechRun
from armillary.domains.speech.stft import istft, stft

_QUIETEST = 0.2  # of a band's frames
# Speech is taken to be in half of the frames, so that these are the lowest 40 % of what noise there is, whose power is
# exponentially distributed: their mean is 1 + 0.6 ln(0.6) / 0.4 of the mean of all.
_BIAS = 1 / (1 + 0.6 * np.log(0.6) / 0.4)
_SMOOTH = 0.98
_FLOOR = 1e-3


@dataclass(frozen=True)
class Wiener:
    """Wiener filter that decides the ratio of speech to noise from the frame before; noise is what a band's quietest
    frames hold, and is taken to be the same all along.

    References:
        Ephraim and Malah 1984, "Speech enhancement using a minimum mean-square error short-time spectral amplitude
        estimator", eq. 51 (the ratio); the gain is Wiener's, ratio / (1 + ratio).
    """

    config: SpeechRun

    def __call__(self, item: Item) -> Float32[np.ndarray, "1 t"]:
        """The voice."""
        rate, mixture = self.config.data.sample_rate_hz, item["mixture"]
        spectra = stft(mixture, rate)
        gain = gains(np.abs(spectra).astype(np.float64) ** 2)
        return istft(gain.astype(np.float32) * spectra, rate, len(mixture))[None]


def gains(power: Float64[np.ndarray, "f n"]) -> Float64[np.ndarray, "f n"]:
    """The gain of every place of a spectrogram of powers, between 0 and 1."""
    lowest = np.sort(power, 1)[:, : max(1, round(_QUIETEST * power.shape[1]))]
    noise = np.maximum(_BIAS * lowest.mean(1), np.finfo(np.float64).tiny)
    over = power / noise[:, None]
    gain = np.empty_like(power)
    before = np.ones(len(power))
    for frame in range(power.shape[1]):
        ratio = _SMOOTH * before + (1 - _SMOOTH) * np.maximum(over[:, frame] - 1, 0.0)
        gain[:, frame] = np.maximum(ratio / (1 + ratio), _FLOOR)
        before = gain[:, frame] ** 2 * over[:, frame]
    return gain
