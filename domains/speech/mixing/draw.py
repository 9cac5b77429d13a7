"""One mixture of voices from a pool, as a function of (seed, epoch, index)."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import soxr
from jaxtyping import Float32, Float64, Int64

from armillary.core.errors import ConfigError, DataError
from armillary.core.random import derive_rng, derive_seed
from armillary.domains.speech.mixing.lengths import fit, looped
from armillary.domains.speech.mixing.levels import decibel_offsets, full_scale_factor, level_gain, sum_factor
from armillary.domains.speech.mixing.measured import LevelMeter
from armillary.domains.speech.mixing.pool import VoicePool
from armillary.domains.speech.mixing.rooms import Room, draw_room, in_room
from armillary.domains.speech.settings import DynamicSettings, RoomSettings, SpeechData

NUM_ROOMS = 64  # rooms of a run; each has five places, so that few rooms still make many mixtures
_PLACES = 5
_PAUSE_S = (0.05, 0.25)  # between utterances that are joined because each is shorter than wanted
_MAX_JOINED = 64
_TRIES = 4  # parts of an utterance looked at before one that is almost silent is taken
_SILENT = 1e-3  # of the utterance's mean power
_BROKEN = 100  # draws in a row with a recording that cannot be read before we give up


@dataclass(frozen=True)
class Mixture:
    """What a draw gives: mixture = sum of the voices as the microphone hears them + noise.

    sources: what is to be found, which in a room may be the voices without reflections.
    """

    mixture: Float32[np.ndarray, " t"]
    sources: Float32[np.ndarray, "k t"]
    noise: Float32[np.ndarray, " t"]
    speakers: tuple[str, ...]


class MixtureDraw:
    """Draws mixtures of the voices of a pool, with the noises of another if the data settings ask for noise.

    Recordings that cannot be read are passed over and told to `problems`, once each.
    """

    def __init__(self, data: SpeechData, voices: VoicePool, noises: VoicePool | None, seed: int) -> None:
        self._data, self._seed = data, seed
        self._settings = data.dynamic or DynamicSettings()
        self._voices, self._noises = voices, noises if data.noise else None
        self._level = LevelMeter(voices, self._settings.levels)
        self._noise_level = LevelMeter(noises, self._settings.levels) if noises is not None else None
        self._rooms: dict[int, Room] = {}
        self.problems: list[DataError] = []
        self._check()

    def __call__(self, epoch: int, index: int) -> Mixture:
        """Mixture `index` of an epoch; one with a recording that cannot be read is drawn anew."""
        for attempt in range(_BROKEN):
            try:
                return self._draw(derive_rng(self._seed, "mixture", epoch, index, attempt))
            except DataError as error:
                self._tell(error)
        raise DataError(
            f"{_BROKEN} mixtures in a row had a recording that cannot be read",
            advice=f"The last one: {self.problems[-1]}",
        )

    def _draw(self, rng: np.random.Generator) -> Mixture:
        speakers = self._speakers(rng)
        pairs = zip(speakers.tolist(), self._wanted_db(rng).tolist(), strict=True)
        spoken = [self._voice(rng, speaker, level) for speaker, level in pairs]
        sources = self._some_silent(rng, fit(spoken, self._data.mode, self._segment))
        heard, sources = self._room(rng, sources)
        noise = self._noise(rng, sources.shape[1])
        return self._scaled(heard, sources, noise, tuple(self._names[speakers].tolist()))

    def _some_silent(self, rng: np.random.Generator, sources: Float32[np.ndarray, "k t"]) -> Float32[np.ndarray, "k t"]:
        """By chance, only the first one to k - 1 voices speak."""
        if len(sources) > 1 and self._settings.fewer and rng.random() < self._settings.fewer:
            sources[int(rng.integers(1, len(sources))) :] = 0
        return sources

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_rooms": {}, "problems": []}

    @cached_property
    def _names(self) -> np.ndarray:
        return np.unique(self._voices.speaker)

    @cached_property
    def _utterances(self) -> list[Int64[np.ndarray, "_"]]:
        """Places of each speaker's utterances in the pool."""
        order = np.argsort(self._voices.speaker, kind="stable")
        ends = np.searchsorted(self._voices.speaker[order], self._names, side="right")
        return np.split(order, ends[:-1])

    @property
    def _segment(self) -> int | None:
        seconds = self._data.segment_s
        return None if seconds is None else max(1, round(seconds * self._data.sample_rate_hz))

    def _check(self) -> None:
        for pool in (self._voices, self._noises):
            if pool is not None and pool.sample_rate_hz != self._data.sample_rate_hz:
                raise ConfigError(
                    f"recordings are given at {pool.sample_rate_hz} Hz, the run asks for {self._data.sample_rate_hz} "
                    "Hz; open the pool at data.sample_rate_hz"
                )
        if self._data.noise and (self._noises is None or not len(self._noises.lengths)):
            raise ConfigError(f"data.noise=true, but {self._data.card} has no noise to mix in; set data.noise=false")
        count, voices = len(self._names), self._data.voices
        if count == 0 or (count < voices and not self._settings.same_speaker):
            raise ConfigError(
                f"mixtures of {voices} voices need as many speakers, got {count}; "
                "set data.dynamic.same_speaker=true or data.voices lower, or give more recordings"
            )

    def _speakers(self, rng: np.random.Generator) -> Int64[np.ndarray, " k"]:
        return rng.choice(len(self._names), self._data.voices, replace=self._settings.same_speaker)

    def _wanted_db(self, rng: np.random.Generator) -> Float64[np.ndarray, " k"]:
        """Level of each voice: loudness [LUFS], or active level [dB] about the middle of the loudnesses."""
        drawn = rng.random(self._data.voices)
        low, high = self._settings.loudness_lufs
        if self._settings.levels == "loudness":
            return low + (high - low) * drawn
        return (low + high) / 2 + decibel_offsets(drawn, self._settings.level_range_db)

    def _voice(self, rng: np.random.Generator, speaker: int, wanted_db: float) -> Float32[np.ndarray, " t"]:
        """A part of an utterance, or in `min` mode as many joined as the segment needs, faster and turned as asked."""
        speed = float(rng.uniform(*self._settings.speed))
        segment = self._segment
        need = None if segment is None else math.ceil(segment * speed) + 1
        voice = self._part(rng, speaker, need, wanted_db)
        if need is not None and self._data.mode == "min":
            voice = self._joined(rng, speaker, voice, need, wanted_db)
        if speed != 1:
            voice = soxr.resample(voice, speed, 1.0)
        voice = voice[:segment]
        return voice[::-1] if rng.random() < self._settings.reverse else voice

    def _joined(
        self, rng: np.random.Generator, speaker: int, first: Float32[np.ndarray, " t"], need: int, wanted_db: float
    ) -> Float32[np.ndarray, " n"]:
        """More utterances of the speaker behind the first, with short pauses, until `need` samples are there."""
        parts, missing = [first], need - len(first)
        while missing > 0 and len(parts) < 2 * _MAX_JOINED:
            pause = np.zeros(round(rng.uniform(*_PAUSE_S) * self._data.sample_rate_hz), np.float32)
            part = self._part(rng, speaker, max(1, missing - len(pause)), wanted_db)
            parts += [pause, part]
            missing -= len(pause) + len(part)
        return np.concatenate(parts) if len(parts) > 1 else first

    def _part(
        self, rng: np.random.Generator, speaker: int, need: int | None, wanted_db: float
    ) -> Float32[np.ndarray, " t"]:
        """`need` samples (None: all; fewer if there are not so many) of an utterance of the speaker, at its level."""
        place = int(rng.choice(self._utterances[speaker]))
        level = self._level(place)
        gain = level_gain(level.level_db, wanted_db, self._peak(level.peak))
        return self._cut(rng, place, need, level.power) * np.float32(gain)

    def _peak(self, peak: float) -> float:
        """The rule of LibriMix holds down loud recordings; that of WSJ0-mix scales the whole mixture instead."""
        return peak if self._settings.levels == "loudness" else 0.0

    def _cut(self, rng: np.random.Generator, place: int, need: int | None, power: float) -> Float32[np.ndarray, " t"]:
        length = int(self._voices.lengths[place])
        if need is None or length <= need:
            return self._voices.load(place)
        tries = _TRIES
        while True:
            start = int(rng.integers(length - need + 1))
            part = self._voices.load(place, start, start + need)
            tries -= 1
            if not tries or np.dot(part, part) > _SILENT * power * len(part):
                return part

    def _tell(self, error: DataError) -> None:
        if str(error) not in {str(known) for known in self.problems}:
            self.problems.append(error)

    def _room(
        self, rng: np.random.Generator, sources: Float32[np.ndarray, "k t"]
    ) -> tuple[Float32[np.ndarray, "k t"], Float32[np.ndarray, "k t"]]:
        """The voices as the microphone hears them, and as they are to be found."""
        settings = self._settings.room
        if settings is None or rng.random() >= settings.probability:
            return sources, sources
        room = self._nth_room(int(rng.integers(NUM_ROOMS)), settings)
        places = rng.choice(_PLACES, len(sources), replace=False).tolist()
        pairs = list(zip(sources, places, strict=True))
        heard = np.stack([in_room(voice, room.whole[place], room.lead) for voice, place in pairs])
        if settings.target == "reverberant":
            return heard, heard
        return heard, np.stack([in_room(voice, room.direct[place], room.lead) for voice, place in pairs])

    def _nth_room(self, number: int, settings: RoomSettings) -> Room:
        if number not in self._rooms:
            seed = derive_seed(self._seed, "room", number)
            self._rooms[number] = draw_room(seed, settings.rt60_s, _PLACES, self._data.sample_rate_hz)
        return self._rooms[number]

    def _noise(self, rng: np.random.Generator, length: int) -> Float32[np.ndarray, " t"]:
        """A part of a noise that begins anywhere; silence if none is asked for."""
        if self._noises is None or self._noise_level is None:
            return np.zeros(length, np.float32)
        low, high = self._settings.noise_lufs
        wanted_db = float(rng.uniform(low, high))
        place = int(rng.integers(len(self._noises.lengths)))
        start = int(rng.integers(max(1, int(self._noises.lengths[place]) - length + 1)))
        gain = level_gain(self._noise_level(place).level_db, wanted_db)
        noise = self._noises.load(place, start, start + length)
        return looped(noise, length, self._data.sample_rate_hz) * np.float32(gain)

    def _scaled(
        self,
        heard: Float32[np.ndarray, "k t"],
        sources: Float32[np.ndarray, "k t"],
        noise: Float32[np.ndarray, " t"],
        speakers: tuple[str, ...],
    ) -> Mixture:
        """One factor for all parts: LibriMix's against overload, or WSJ0-mix's to full scale."""
        mixture = heard.sum(0) + noise
        if self._settings.levels == "loudness":
            factor = np.float32(sum_factor(float(np.abs(mixture).max(initial=0.0))))
        else:
            factor = np.float32(full_scale_factor(mixture, sources))
        return Mixture(factor * mixture, factor * sources, factor * noise, speakers)
