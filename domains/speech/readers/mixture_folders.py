"""Folders of finished mixtures: WSJ0-mix, WHAM!, WHAMR! and LibriMix as their scripts write them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from armillary.core.domain import Split
from armillary.core.errors import ConfigError, DataError
from armillary.domains.speech.readers.librimix import People, read_people
from armillary.domains.speech.readers.librispeech import READERS, TREE, read_sexes, speaker_of
from armillary.domains.speech.readers.mixtures import Listed, Part
from armillary.domains.speech.readers.report import Report
from armillary.domains.speech.readers.tables import number, read_table
from armillary.domains.speech.settings import SpeechData

_SPLITS: dict[str, Split] = {
    "tr": "train", "train": "train", "cv": "validation", "dev": "validation", "tt": "test", "test": "test",
}  # fmt: skip
_RATES = {8000: "wav8k", 16000: "wav16k"}
# 01aa0101_1.2_01bb0202_-1.2: the first three letters of an utterance are its speaker.
_WSJ_UTTERANCE = re.compile(r"[0-9a-z]{8}")
_WSJ_READERS = "spkrinfo.txt"


@dataclass(frozen=True)
class MixtureFolder:
    """One rate and mode of a set: folders of splits, each with folders of mixtures and voices.

    shares_voices: validation has the voices of training, as in everything that is made of WSJ0-mix.
    """

    splits: dict[Split, list[Path]]
    shares_voices: bool


def find_folder(folder: Path, data: SpeechData) -> MixtureFolder | None:
    """The folder of the run's rate and mode, such as 2speakers/wav8k/min; None where there is none of any rate.

    Raises:
        ConfigError: there are others, but not this one.
    """
    places = [
        path for pattern in ("wav*k/m??", "*/wav*k/m??") for path in sorted(folder.glob(pattern)) if _splits(path)
    ]
    if not places:
        return None
    rate = _RATES.get(data.sample_rate_hz)
    fitting = [path for path in places if path.parent.name == rate and path.name == data.mode]
    if not fitting:
        has = ", ".join(str(path.relative_to(folder)) for path in places)
        raise ConfigError(
            f"data.sample_rate_hz={data.sample_rate_hz}, data.mode={data.mode}: no such mixtures below {folder}; it "
            f"has {has}"
        )
    # Of 2speakers and 3speakers side by side, the one that is called after the number of voices.
    root = next((path for path in fitting if _counts(path.parent.parent.name, data.voices)), fitting[0])
    splits = _splits(root)
    return MixtureFolder(splits, any(path.name == "cv" for path in splits.get("validation", ())))


def read_mixture_folder(place: Path, data: SpeechData, sexes: Mapping[str, str], report: Report) -> Iterator[Listed]:
    """The mixtures of one folder of a split. A voice's or noise's file is called as the mixture's.

    Speakers are those of a table of them in the set's folder `metadata`, else of the mixture's name. sexes: of
    speakers, where they are known (`sexes_below`).

    Raises:
        ConfigError: it has no mixtures of the kind that the run asks for.
    """
    mixtures, voices = _kinds(place, data)
    noise = place / "noise"
    told = _told(place, mixtures.name, report)
    people = _people(place, data.voices, report)
    paths = sorted(mixtures.glob("*.wav"))
    if not paths:
        others = sorted({path.suffix or path.name for path in mixtures.iterdir()})
        report(
            DataError(
                f"holds no file that ends in .wav, but {', '.join(others[:5])}" if others else "is empty",
                path=mixtures, card=data.card, advice="Expected the mixtures as files NAME.wav.",
            )
        )  # fmt: skip
    for path in paths:
        speakers, known = people.get(path.stem, (_speakers(path.stem)[: data.voices], ()))
        speakers = speakers if len(speakers) == data.voices and all(speakers) else ()
        yield Listed(
            path.stem,
            tuple(Part(folder / path.name) for folder in voices),
            Part(noise / path.name) if noise.is_dir() else None,
            path,
            speakers,
            known if speakers and any(known) else tuple(sexes.get(speaker, "") for speaker in speakers),
            told=told.get(path.stem),
        )


def _splits(root: Path) -> dict[Split, list[Path]]:
    """Folders of each split: tr, cv, tt, or train-100, train-360, dev, test."""
    found: dict[Split, list[Path]] = {}
    for path in sorted(root.iterdir()):
        split = _SPLITS.get(path.name.partition("-")[0])
        if split and path.is_dir():
            found.setdefault(split, []).append(path)
    return found


def _counts(name: str, num_voices: int) -> bool:
    """Whether a folder's name (2speakers, Libri3Mix) tells this number of voices; one voice is the first of two."""
    digits = re.findall(r"\d+", name)
    return str(max(num_voices, 2)) in digits


def _kinds(place: Path, data: SpeechData) -> tuple[Path, list[Path]]:
    """Folders of the mixtures and of each voice. Of WHAMR! the voices are those without reverberation."""
    kind = "mix_single" if data.voices == 1 else "mix_both" if data.noise else "mix_clean"
    rooms = (place / "s1_anechoic").is_dir()
    if rooms or data.reverberant:
        mixtures = [f"{kind}_reverb" if data.reverberant else f"{kind}_anechoic"]
    else:
        mixtures = [kind, "mix"] if kind == "mix_clean" else [kind]
    suffix = "_anechoic" if rooms or data.reverberant else ""
    voices = [f"s{number}{suffix}" for number in range(1, data.voices + 1)]
    has = sorted(path.name for path in place.iterdir() if path.is_dir())
    found = next((name for name in mixtures if name in has), None)
    more = data.voices > 1 and f"s{data.voices + 1}{suffix}" in has
    if found is None or more or not set(voices) <= set(has):
        raise ConfigError(
            f"data.voices={data.voices}, data.noise={data.noise}, data.reverberant={data.reverberant}: expected "
            f"{place} to have the folders {', '.join([' or '.join(mixtures), *voices])}{' alone' if more else ''}; it "
            f"has {', '.join(has) or 'none'}"
        )
    return place / found, [place / name for name in voices]


def _speakers(stem: str) -> tuple[str, ...]:
    """Speakers of a mixture by its name, as WSJ0-mix and LibriMix give names; none for other names."""
    tokens = stem.split("_")
    readers = tuple(speaker_of(token) for token in tokens)
    if all(readers):
        return readers
    spoken = tokens[::2]
    return tuple(token[:3] for token in spoken) if all(map(_WSJ_UTTERANCE.fullmatch, spoken)) else ()


def sexes_below(folder: Path) -> dict[str, str]:
    """Speaker -> "F" or "M", from a set's table of speakers (SPEAKERS.TXT, spkrinfo.txt); empty without one."""
    for path in (folder / READERS, folder / TREE / READERS):
        if path.is_file():
            return read_sexes(path)
    return _wsj_sexes(folder / _WSJ_READERS) if (folder / _WSJ_READERS).is_file() else {}


def _people(place: Path, num_voices: int, report: Report) -> People:
    """Speakers by mixture, where a list of the mixtures has a table of them, as `armillary speech mix` writes it."""
    # One voice may be the only one of a set, or the first of two.
    counts = (num_voices, max(num_voices, 2))
    tables = [place.parents[2] / "metadata" / f"libri{count}mix_{place.name}_info.csv" for count in counts]
    return read_people(next(filter(Path.is_file, tables), tables[0]), num_voices, report)


def _wsj_sexes(path: Path) -> dict[str, str]:
    with path.open(encoding="utf-8", errors="replace") as stream:
        cells = [line.split() for line in stream]
    return {its[0].lower(): its[1].upper() for its in cells if len(its) > 1 and its[1].upper() in ("F", "M")}


def _told(place: Path, kind: str, report: Report) -> dict[str, int]:
    """Mixture -> its samples, as LibriMix's table metadata/mixture_SPLIT_KIND.csv says; empty without one."""
    table = place.parent / "metadata" / f"mixture_{place.name}_{kind}.csv"
    if not table.is_file():
        return {}
    told: dict[str, int] = {}
    try:
        for row, cells in read_table(table, ("mixture_ID", "length")):
            told[cells["mixture_ID"]] = int(number(table, row, cells, "length"))
    except DataError as error:
        report(error)
    return told
