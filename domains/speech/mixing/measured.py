"""Levels of a pool's recordings, measured when first asked for and then known."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from armillary.domains.speech.mixing.levels import active_level_db, loudness_lufs
from armillary.domains.speech.mixing.pool import VoicePool


@dataclass(frozen=True)
class Measured:
    """level_db: loudness [LUFS] or active level [dB]; peak: largest magnitude; power: mean square of the samples."""

    level_db: float
    peak: float
    power: float


class LevelMeter:
    """Measures whole recordings, each once: the parts that are cut from one share its level."""

    def __init__(self, pool: VoicePool, levels: Literal["loudness", "decibel"]) -> None:
        self._pool = pool
        self._measure = loudness_lufs if levels == "loudness" else active_level_db
        self._known: dict[int, Measured] = {}

    def __call__(self, index: int) -> Measured:
        """The level of recording `index`; raises DataError where it cannot be read."""
        if index not in self._known:
            signal = self._pool.load(index)
            power = float(np.dot(signal, signal)) / max(1, len(signal))
            peak = float(np.abs(signal).max(initial=0.0))
            self._known[index] = Measured(self._measure(signal, self._pool.sample_rate_hz), peak, power)
        return self._known[index]
