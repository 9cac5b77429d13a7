"""Fabricated mixtures whose voices are known: hums of two pitches with pauses."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from armillary.domains.speech.collate import collate
from armillary.domains.speech.settings import SpeechData, SpeechPredict, SpeechRun
from armillary.domains.speech.systems.settings import ConvTasNetSettings

RATE_HZ = 8000


def hum(rng: np.random.Generator, pitch_hz: float, samples: int) -> np.ndarray:
    """Twelve harmonics that come and go."""
    time = np.arange(samples) / RATE_HZ
    tone = sum(np.sin(2 * np.pi * pitch_hz * n * time + rng.uniform(0, 6)) / n for n in range(1, 13))
    level = np.clip(np.sin(2 * np.pi * rng.uniform(1.5, 2.5) * time + rng.uniform(0, 6)), 0, None)
    return (0.05 * tone * level).astype(np.float32)


class KnownMixtures:
    """`num` mixtures of `num_voices` hums of 1 s and more, with noise 40 dB below."""

    problems: Sequence[Any] = ()

    def __init__(self, num: int, num_voices: int, noise: float = 1e-3) -> None:
        rng = np.random.default_rng(num)
        self.lengths = np.array([RATE_HZ + 731 * index for index in range(num)], np.int64)
        self.ids = np.array([f"m{index}" for index in range(num)], np.str_)
        self.groups = np.array([f"g{index // 2}" for index in range(num)], np.str_)
        places = [(index, voice) for index in range(num) for voice in range(num_voices)]
        shape = (num, num_voices)
        self.known: Mapping[str, np.ndarray] = {
            "speakers": np.array([f"s{index}{voice}" for index, voice in places], np.str_).reshape(shape),
            "sexes": np.array(["F" if sum(place) % 3 else "M" for place in places], np.str_).reshape(shape),
        }
        gains = 10 ** (rng.uniform(-6, 6, (num, num_voices, 1)) / 20)
        pitches = np.array([100.0, 210.0, 330.0, 140.0, 260.0])
        self.sources = [
            (np.stack([hum(rng, pitches[v], length) for v in range(num_voices)]) * gains[i]).astype(np.float32)
            for i, length in enumerate(self.lengths)
        ]
        self.mixtures = [
            (voices.sum(0) + noise * rng.standard_normal(voices.shape[1])).astype(np.float32) for voices in self.sources
        ]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        _, index = key
        return {"mixture": self.mixtures[index], "sources": self.sources[index], "index": index}

    def collate(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """As real ones do."""
        return collate(items)


@pytest.fixture
def known_mixtures() -> Callable[..., KnownMixtures]:
    """Makes items: (num, num_voices, noise=0.001)."""
    return KnownMixtures


@pytest.fixture
def speech_run() -> Callable[..., SpeechRun]:
    """Makes a run: (num_voices=2, scores=("si_sdr",), noise=False)."""

    def make(num_voices: int = 2, scores: tuple[str, ...] = ("si_sdr",), noise: bool = False) -> SpeechRun:
        return SpeechRun(
            recipe="speech/test",
            data=SpeechData(card="libri2mix_mini", voices=num_voices, noise=noise or num_voices == 1),
            model=ConvTasNetSettings(),
            predict=SpeechPredict.model_validate({"scores": scores}),
        )

    return make
