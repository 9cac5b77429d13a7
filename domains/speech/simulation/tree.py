"""Simulated utterances in LibriSpeech's tree, and lists of mixtures of them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from armillary.core.errors import DataError
from armillary.core.random import derive_rng, derive_seed
from armillary.domains.speech.mixing.choose import Plan, choose
from armillary.domains.speech.mixing.lists import Listed
from armillary.domains.speech.mixing.render import Roots
from armillary.domains.speech.mixing.sources import scan_noises, scan_voices
from armillary.domains.speech.readers.librispeech import READERS
from armillary.domains.speech.settings import DynamicSettings
from armillary.domains.speech.simulation.speakers import Kind, draw_speaker
from armillary.domains.speech.simulation.voice import speak

_CHAPTER = 1
_TITLE = ";ID  |SEX| SUBSET           |MINUTES| NAME"


@dataclass(frozen=True)
class Cast:
    """Readers of one split. first: number of the first; seconds: shortest and longest utterance [s]."""

    split: str
    subset: str
    first: int
    readers: int
    utterances: int
    seconds: tuple[float, float]

    @property
    def names(self) -> list[str]:
        """Its readers."""
        return [str(self.first + place) for place in range(self.readers)]


@dataclass(frozen=True)
class Utterance:
    """An utterance that was written. path: below the tree's root; num_samples at the tree's rate."""

    path: str
    split: str
    subset: str
    reader: str
    sex: str
    num_samples: int


def write_tree(root: Path, casts: Sequence[Cast], sample_rate_hz: int, seed: int) -> list[Utterance]:
    """FLAC files of all utterances, and the table of readers; every sixth reader speaks like a child."""
    written = [
        _write_utterance(root, cast, cast.first + reader, number, sample_rate_hz, seed)
        for cast in casts
        for reader in range(cast.readers)
        for number in range(cast.utterances)
    ]
    readers = {(one.reader, one.sex, one.subset): 0.0 for one in written}
    for one in written:
        readers[one.reader, one.sex, one.subset] += one.num_samples / sample_rate_hz / 60
    lines = [
        f"{reader:<5}| {sex} | {subset:<17}| {minutes:<6.2f}| Simulated {reader}"
        for (reader, sex, subset), minutes in readers.items()
    ]
    (root / READERS).write_text("\n".join([_TITLE, *lines]) + "\n")
    return written


def list_mixtures(
    roots: Roots, split: str, readers: Collection[str], noises: str, voices: int, count: int, seed: int
) -> list[Listed]:
    """`count` mixtures of utterances of `readers` with noises whose path begins with `noises`, levels by loudness.

    None where there are fewer readers than voices.
    """
    if len(readers) < voices:
        return []
    spoken = [one for one in scan_voices(roots.voices, "", refuse) if one.speaker in readers]
    found = [] if roots.noises is None else scan_noises(roots.noises, "", refuse)
    quiet = [one for one in found if one.path.startswith(noises)]
    plan = Plan(voices, spoken[0].rate_hz, "min", DynamicSettings(), seed)
    return choose(plan, split, count, spoken, quiet, roots, refuse)


def write_flac(path: Path, signal: np.ndarray, sample_rate_hz: int) -> None:
    """A 16-bit FLAC file; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, signal, sample_rate_hz, format="FLAC", subtype="PCM_16")


def cut_in_half(path: Path) -> None:
    """What a copy that broke off leaves."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def kind_of(place: int) -> Kind:
    """Men and women in turn, every sixth a child."""
    return "child" if place % 6 == 5 else ("male", "female")[place % 2]


def _write_utterance(root: Path, cast: Cast, reader: int, number: int, sample_rate_hz: int, seed: int) -> Utterance:
    place = reader - cast.first
    speaker = draw_speaker(str(reader), kind_of(place), seed)
    utterance_seed = derive_seed(seed, "utterance", reader, number)
    seconds = float(derive_rng(utterance_seed, "seconds").uniform(*cast.seconds))
    signal = speak(speaker, seconds, sample_rate_hz, utterance_seed)
    path = f"{cast.subset}/{reader}/{_CHAPTER}/{reader}-{_CHAPTER}-{number:04d}.flac"
    write_flac(root / path, signal, sample_rate_hz)
    return Utterance(path, cast.split, cast.subset, str(reader), "MF"[place % 2], len(signal))


def refuse(error: DataError) -> None:
    """For files made a moment ago: nothing can be wrong with them."""
    raise error
