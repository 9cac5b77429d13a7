"""Level, peak and share of time of the voices of a file, gathered piece by piece."""

import math

import numpy as np
from jaxtyping import Float32, Float64

from armillary.domains.speech.counting import present
from armillary.domains.speech.joining import Piece

_FRAME_S = 0.02
_ACTIVE_DB = 30.0  # below a voice's loudest frame
_LOWEST_DB, _HIGHEST_DB, _STEP_DB = -160.0, 80.0, 0.5  # of frames, full scale being 0


class FileStatistics:
    """What is known of a file's voices so far; its size does not grow."""

    def __init__(self, piece: Piece) -> None:
        self._rate_hz, count = piece.rate_hz, len(piece.samples)
        self._products = np.zeros((count, count))
        self._peak = np.zeros(count)
        self._samples, self._mixture = 0, 0.0
        self._frames = np.zeros((count, round((_HIGHEST_DB - _LOWEST_DB) / _STEP_DB)), np.int64)
        self._silent = np.zeros(count, np.int64)
        self._rest = piece.samples[:, :0]

    def add(self, piece: Piece) -> None:
        """Takes the next piece in."""
        voices, mixture = piece.samples.astype(np.float64), piece.mixture.astype(np.float64)
        self._products += voices @ voices.T
        self._mixture += float(mixture @ mixture)
        self._peak = np.maximum(self._peak, np.abs(voices).max(1, initial=0.0))
        self._samples += voices.shape[1]
        size = max(1, round(_FRAME_S * self._rate_hz))
        pending = np.concatenate([self._rest, piece.samples], axis=1)
        whole = pending.shape[1] // size * size
        self._add_frames(pending[:, :whole].reshape(len(pending), -1, size))
        self._rest = pending[:, whole:].copy()
        if piece.last and self._rest.shape[1]:
            self._add_frames(self._rest[:, None])

    @property
    def seconds(self) -> float:
        """Length of the file [s]."""
        return self._samples / self._rate_hz

    def rows(self) -> list[dict[str, float | int | bool]]:
        """For each voice: voice (from 1), seconds, level_db in the mixture, active, peak, present; voices of the file.

        level_db: 10 log10(|voice|^2 / |mixture|^2), between -120 and 120. active: share of 20 ms frames within 30 dB
        of the voice's loudest. present and voices: `counting.present`, and how many are.
        """
        counts = present(self._products)
        active = self._active()
        return [
            {
                "voice": voice + 1,
                "seconds": self.seconds,
                "level_db": self._level_db(voice),
                "active": float(active[voice]),
                "peak": float(self._peak[voice]),
                "present": bool(counts[voice]),
                "voices": int(counts.sum()),
            }
            for voice in range(len(counts))
        ]

    def _add_frames(self, frames: Float32[np.ndarray, "k f n"]) -> None:
        power = np.square(frames, dtype=np.float64).mean(-1)
        level = 10 * np.log10(np.maximum(power, 1e-300))
        place = np.clip((level - _LOWEST_DB) / _STEP_DB, 0, self._frames.shape[1] - 1).astype(np.int64)
        for voice in range(len(frames)):
            heard = power[voice] > 0
            self._frames[voice] += np.bincount(place[voice][heard], minlength=self._frames.shape[1])
            self._silent[voice] += int((~heard).sum())

    def _active(self) -> Float64[np.ndarray, " k"]:
        places = np.arange(self._frames.shape[1])
        loudest = np.where(self._frames > 0, places, 0).max(1)
        near = places > loudest[:, None] - round(_ACTIVE_DB / _STEP_DB)
        total = self._frames.sum(1) + self._silent
        return (self._frames * near).sum(1) / np.maximum(total, 1)

    def _level_db(self, voice: int) -> float:
        share = self._products[voice, voice] / max(self._mixture, 1e-30)
        return 10 * math.log10(min(max(share, 1e-12), 1e12))
