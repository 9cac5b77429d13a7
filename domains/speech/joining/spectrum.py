"""What a voice sounds like in the long run: mean band levels of the frames where it is heard."""

import math

import numpy as np
from jaxtyping import Bool, Float32, Float64

_FRAME_S = 0.064  # long enough to tell pitches of men and women apart
_BANDS = 32
_LOWEST_HZ = 60.0
_FLOOR = 1e-6  # of the loudest voice's power: below is rounding, or what another voice left
# Frames below this share of the loudest voice's mean power are pauses.
_HEARD = 1e-2
_UNKNOWN_DB = 5.0  # between what one voice and what two voices usually differ by; counts where one was never heard


class VoicePrints:
    """Log band levels of k voices, averaged over frames where each is heard; level itself is taken out.

    Frames count by the voice's share of all voices' power there, so that what one leaves in another counts little.
    """

    def __init__(self, voices: int) -> None:
        self._sum = np.zeros((voices, _BANDS))
        self._weight = np.zeros(voices)

    @classmethod
    def of(cls, voices: Float32[np.ndarray, "k n"], rate_hz: int, reference: float) -> "VoicePrints":
        """Prints of one window. reference: mean power of the loudest voice."""
        prints = cls(len(voices))
        if reference > 0:
            power = _band_powers(voices, rate_hz)
            frame = power.sum(-1)
            heard = frame > _HEARD * reference
            weight = np.where(heard, _dominance(frame), 0.0)
            levels = 10 * np.log10(power + _FLOOR * reference)
            levels -= levels.mean(-1, keepdims=True)
            prints._sum = np.einsum("kf,kfb->kb", weight, levels)
            prints._weight = weight.sum(-1)
        return prints

    def add(self, other: "VoicePrints") -> None:
        """Takes in prints of the same voices in the same order."""
        self._sum += other._sum
        self._weight += other._weight

    def ordered(self, order: np.ndarray) -> "VoicePrints":
        """The prints of voices order[0], order[1], ..."""
        prints = VoicePrints(len(order))
        prints._sum, prints._weight = self._sum[order], self._weight[order]
        return prints

    @property
    def known(self) -> Bool[np.ndarray, " k"]:
        """Which voices were heard at all."""
        return self._weight > 0

    def distance_db(self, other: "VoicePrints") -> Float64[np.ndarray, "k k"]:
        """Root mean square difference over the bands [dB] of each of these and each of the others."""
        mine, theirs = (p._sum / np.maximum(p._weight, 1e-300)[:, None] for p in (self, other))
        distance = np.sqrt(np.square(mine[:, None] - theirs[None]).mean(-1))
        return np.where(self.known[:, None] & other.known[None], distance, _UNKNOWN_DB)


def _dominance(power: Float64[np.ndarray, "k f"]) -> Float64[np.ndarray, "k f"]:
    """Share of a voice in all power of a frame: 1 for it alone, 0 where it has an equal share or less."""
    if len(power) == 1:
        return np.ones_like(power)
    fair = 1 / len(power)
    share = power / np.maximum(power.sum(0), 1e-300)
    return np.maximum(share - fair, 0.0) / (1 - fair)


def _band_powers(voices: Float32[np.ndarray, "k n"], rate_hz: int) -> Float64[np.ndarray, "k f b"]:
    """Mean power in each band of frames that overlap by half; a voice shorter than a frame is one, zero padded."""
    size = max(2, round(_FRAME_S * rate_hz))
    if voices.shape[1] < size:
        voices = np.pad(voices, ((0, 0), (0, size - voices.shape[1])))
    frames = np.lib.stride_tricks.sliding_window_view(voices, size, axis=1)[:, :: max(1, size // 2)]
    spectrum = np.fft.rfft(frames * np.hanning(size + 2)[1:-1].astype(np.float32), axis=-1)
    power = np.square(np.abs(spectrum)).astype(np.float64) * (2 / size**2)
    return power @ _bands(size, rate_hz)


def _bands(size: int, rate_hz: int) -> Float64[np.ndarray, "m b"]:
    """Triangles evenly spaced on the mel scale, 2595 log10(1 + f / 700), from 60 Hz to the highest frequency."""
    edges_mel = np.linspace(_mel(_LOWEST_HZ), _mel(rate_hz / 2), _BANDS + 2)
    edges = 700 * (10 ** (edges_mel / 2595) - 1)
    # Low bands are narrower than the lines of the spectrum: each takes at least the two lines around its middle.
    line = rate_hz / size
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    low, high = np.minimum(low, middle - line), np.maximum(high, middle + line)
    frequency = np.arange(size // 2 + 1)[:, None] * line
    rising, falling = (frequency - low) / (middle - low), (high - frequency) / (high - middle)
    return np.maximum(np.minimum(rising, falling), 0.0)


def _mel(frequency_hz: float) -> float:
    return 2595 * math.log10(1 + frequency_hz / 700)
