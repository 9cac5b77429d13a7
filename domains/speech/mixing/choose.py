"""New lists of mixtures: which speakers go into which split, which utterances meet, and how loud they are."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from armillary.core.errors import ConfigError, DataError
from armillary.core.random import derive_rng, derive_seed
from armillary.domains.speech.mixing.lengths import looped
from armillary.domains.speech.mixing.levels import (
    active_level_db,
    decibel_offsets,
    full_scale_factor,
    level_gain,
    loudness_lufs,
    sum_factor,
)
from armillary.domains.speech.mixing.lists import Listed
from armillary.domains.speech.mixing.render import Roots, load_checked, render
from armillary.domains.speech.mixing.sources import Recording
from armillary.domains.speech.readers.mixtures import LIST_RATE_HZ
from armillary.domains.speech.readers.report import Report
from armillary.domains.speech.settings import DynamicSettings

_TRIES = 100  # draws for one mixture before a split counts as used up

T = TypeVar("T")


@dataclass(frozen=True)
class Plan:
    """What a new set of mixtures is to be. `sound`: levels and the room, as dynamic mixing has them.

    rate_hz, mode: those of the audio; levels by decibel depend on them, levels by loudness do not.
    """

    voices: int
    rate_hz: int
    mode: Literal["min", "max"]
    sound: DynamicSettings
    seed: int


def deal(things: Sequence[T], shares: Mapping[str, float], seed: int, what: str, least: int = 1) -> dict[str, list[T]]:
    """Things in an order drawn from (seed, what), dealt by their shares; each split gets `least` if they suffice."""
    order = derive_rng(seed, "deal", what).permutation(len(things)).tolist()
    ends = np.cumsum(list(shares.values())) / sum(shares.values()) * len(things)
    dealt: dict[str, list[T]] = {}
    begin = 0
    for left, (name, end) in zip(range(len(shares) - 1, -1, -1), zip(shares, ends.tolist(), strict=True), strict=True):
        stop = min(max(round(end), begin + least), max(len(things) - left * least, 0))
        dealt[name] = [things[place] for place in order[begin:stop]]
        begin = stop
    return dealt


def choose(
    plan: Plan, split: str, count: int, voices: Sequence[Recording], noises: Sequence[Recording], roots: Roots,
    report: Report,
) -> list[Listed]:  # fmt: skip
    """`count` mixtures of a split, or fewer where not so many differ in their utterances.

    Speakers are drawn evenly, then one utterance of each; mixture i depends on (seed, split, i) and on those before
    it, which it does not repeat. Recordings that cannot be read are reported and not drawn again.

    Raises:
        ConfigError: fewer speakers than voices.
    """
    check_speakers(plan, split, voices)
    by_speaker: dict[str, list[Recording]] = {}
    for recording in voices:
        by_speaker.setdefault(recording.speaker, []).append(recording)
    chosen: dict[frozenset[str], Listed] = {}
    bad: set[str] = set()
    level = _Leveller(plan, roots)
    for index in range(count):
        for attempt in range(_TRIES):
            rng = derive_rng(plan.seed, "list", split, index, attempt)
            meeting = _meeting(rng, by_speaker, plan.voices)
            names = frozenset(recording.path for recording in meeting)
            if names in chosen or any(str(roots.voices / name) in bad for name in names):
                continue
            usable = [noise for noise in noises if str((roots.noises or Path()) / noise.path) not in bad]
            try:
                chosen[names] = level(rng, meeting, usable)
                break
            except DataError as error:
                bad.add(str(error.path))
                report(error)
        else:
            break
    return list(chosen.values())


def check_speakers(plan: Plan, split: str, voices: Sequence[Recording]) -> None:
    """Refuses a split that has fewer speakers than a mixture has voices.

    Raises:
        ConfigError: it has.
    """
    number = len({recording.speaker for recording in voices})
    if number < plan.voices:
        raise ConfigError(
            f"{split}: mixtures of {plan.voices} voices need as many speakers, got {number}; "
            "give more recordings, other --splits, or a lower --shortest"
        )


def _meeting(rng: np.random.Generator, by_speaker: Mapping[str, Sequence[Recording]], count: int) -> list[Recording]:
    speakers = list(by_speaker)
    drawn = [by_speaker[speakers[place]] for place in rng.choice(len(speakers), count, replace=False).tolist()]
    return [utterances[int(rng.integers(len(utterances)))] for utterances in drawn]


class _Leveller:
    """Gains of mixtures; what a recording needs is measured once."""

    def __init__(self, plan: Plan, roots: Roots) -> None:
        self._plan, self._roots = plan, roots
        self._known: dict[tuple[Path, int, int], tuple[float, float]] = {}

    def __call__(self, rng: np.random.Generator, meeting: Sequence[Recording], noises: Sequence[Recording]) -> Listed:
        """The mixture with the gains of its recordings, and then of all together, by the rule in force."""
        plan, roots = self._plan, self._roots
        gains = tuple(
            self._gain(roots.voices / recording.path, recording.rate_hz, wanted_db, (0, recording.num_samples), True)
            for recording, wanted_db in zip(meeting, self._wanted_db(rng), strict=True)
        )
        listed = Listed(
            "_".join(recording.name for recording in meeting),
            tuple(recording.path for recording in meeting),
            gains,
            speakers=tuple(recording.speaker for recording in meeting),
            sexes=tuple(recording.sex for recording in meeting),
        )
        if plan.sound.room is not None and rng.random() < plan.sound.room.probability:
            seed = derive_seed(plan.seed, "room", listed.name)
            listed = replace(listed, room_seed=seed, rt60_s=round(float(rng.uniform(*plan.sound.room.rt60_s)), 4))
        if noises and roots.noises is not None:
            listed = self._with_noise(rng, listed, meeting, noises[int(rng.integers(len(noises)))], roots.noises)
        factor = self._factor(listed, max(recording.rate_hz for recording in meeting))
        return replace(
            listed, gains=tuple(gain * factor for gain in listed.gains), noise_gain=listed.noise_gain * factor
        )

    def _wanted_db(self, rng: np.random.Generator) -> list[float]:
        sound, drawn = self._plan.sound, rng.random(self._plan.voices)
        low, high = sound.loudness_lufs
        if sound.levels == "loudness":
            return (low + (high - low) * drawn).tolist()
        return ((low + high) / 2 + decibel_offsets(drawn, sound.level_range_db)).tolist()

    def _gain(self, path: Path, rate_hz: int, wanted_db: float, part: tuple[int, int], is_voice: bool = False) -> float:
        """Gain of a part of a recording, measured at its own rate; a part that goes beyond the end is looped.

        Raises:
            DataError: a voice that is silent, or a file that cannot be read.
        """
        start, stop = part
        if (path, start, stop) not in self._known:
            signal = looped(load_checked(path, rate_hz, start, stop), stop - start, rate_hz)
            measure = loudness_lufs if self._plan.sound.levels == "loudness" else active_level_db
            self._known[path, start, stop] = (measure(signal, rate_hz), float(np.abs(signal).max(initial=0.0)))
        level_db, peak = self._known[path, start, stop]
        if is_voice and not math.isfinite(level_db):
            raise DataError("says nothing: all of it is silent", path=path, advice="It is left out.")
        return level_gain(level_db, wanted_db, peak if self._plan.sound.levels == "loudness" else 0.0)

    def _with_noise(
        self,
        rng: np.random.Generator,
        listed: Listed,
        meeting: Sequence[Recording],
        noise: Recording,
        root: Path,
    ) -> Listed:
        """A part of the noise that begins anywhere, as long as the longest voice."""
        length = max(1, round(max(recording.seconds for recording in meeting) * noise.rate_hz))
        start = int(rng.integers(max(1, noise.num_samples - length + 1)))
        wanted_db = float(rng.uniform(*self._plan.sound.noise_lufs))
        gain = self._gain(root / noise.path, noise.rate_hz, wanted_db, (start, start + length))
        begin = round(start * LIST_RATE_HZ / noise.rate_hz)
        return replace(listed, noise_path=noise.path, noise_gain=gain, noise_start=begin)

    def _factor(self, listed: Listed, own_rate_hz: int) -> float:
        """By loudness: against overload of the sum at full length and the recordings' own rate; else to full scale."""
        plan = self._plan
        target = plan.sound.room.target if plan.sound.room else "direct"
        if plan.sound.levels == "loudness":
            mixtures = render(listed, self._roots, own_rate_hz, "max", target).mixtures()
            return sum_factor(float(np.abs(mixtures.get("mix_both", mixtures["mix_clean"])).max(initial=0.0)))
        parts = render(listed, self._roots, plan.rate_hz, plan.mode, target)
        mixtures = parts.mixtures()
        return full_scale_factor(mixtures.get("mix_both", mixtures["mix_clean"]), parts.sources)
