"""Lists of LibriMix: which utterances and which noise make a mixture, with which gains."""

import re
from collections.abc import Iterator
from pathlib import Path

from armillary.core.domain import Split
from armillary.core.errors import ConfigError, DataError
from armillary.domains.speech.readers.librispeech import speaker_of
from armillary.domains.speech.readers.mixtures import Listed, Part
from armillary.domains.speech.readers.report import Report
from armillary.domains.speech.readers.tables import Row, inside, number, read_table

_LIST = re.compile(r"libri(\d+)mix_(train|dev|test)[^_]*\.csv")
_FOLDERS = ("metadata", "metadata/Libri{count}Mix", ".")
_SPLITS: dict[str, Split] = {"train": "train", "dev": "validation", "test": "test"}
_SOURCE = re.compile(r"source_(\d+)_path")
_LARGEST_GAIN = 1e6
People = dict[str, tuple[tuple[str, ...], tuple[str, ...]]]


def lists_of(folder: Path, num_voices: int) -> dict[Split, list[Path]]:
    """The lists of each split in a folder, or in its folder `metadata`: libri2mix_train-clean-360.csv and so on.

    One voice is the first of the lists of two. Empty where the folder holds no list.
    """
    count = max(num_voices, 2)
    for name in _FOLDERS:
        found: dict[Split, list[Path]] = {}
        for path in sorted((folder / name.format(count=count)).glob("libri*mix_*.csv")):
            match = _LIST.fullmatch(path.name)
            if match and int(match[1]) == count:
                found.setdefault(_SPLITS[match[2]], []).append(path)
        if found:
            return found
    return {}


def any_lists(folder: Path) -> bool:
    """Whether there are lists of any number of voices and any split."""
    return any(lists_of(folder, count) for count in range(1, 6))


def read_list(
    path: Path, num_voices: int, voices: Path, noises: Path | None, report: Report, card: str
) -> Iterator[Listed]:
    """The mixtures of a list; speakers and sexes are those of the table beside it, NAME_info.csv, where it is there.

    voices, noises: folders that the list's paths begin at; without noises none is mixed in. A row that cannot be
    read, or whose name comes again, is reported.

    Raises:
        ConfigError: the list has mixtures of another number of voices. DataError: no list, or without a column.
    """
    wanted = ("mixture_ID", "source_1_path", "source_1_gain", *(("noise_path", "noise_gain") if noises else ()))
    seen: set[str] = set()
    people = read_people(path.with_name(f"{path.stem}_info.csv"), num_voices, report)
    checked = False
    for row, cells in read_table(path, wanted):
        if not checked:
            _check_columns(path, cells, num_voices)
            checked = True
        try:
            found = _listed(path, row, cells, num_voices, voices, noises, people)
            if found.id in seen:
                raise DataError("has a name that was there before", advice="The first of them is used.")
            seen.add(found.id)
            yield found
        except DataError as error:
            report(
                DataError(error.problem, path=path, row=row, item=cells["mixture_ID"], card=card, advice=error.advice)
            )


def _check_columns(path: Path, cells: Row, num_voices: int) -> None:
    listed = sum(1 for name in cells if _SOURCE.fullmatch(name))
    if listed != num_voices and num_voices != 1:
        raise ConfigError(
            f"data.voices={num_voices}, but {path} lists mixtures of {listed}; set data.voices={listed}, or 1 to "
            "enhance the first voice"
        )
    missing = [name for place in range(1, num_voices + 1) if (name := f"source_{place}_gain") not in cells]
    if missing:
        raise DataError(
            f"has no column {', '.join(missing)}; it has {', '.join(cells)}", path=path, row=1,
            advice="Each source_N_path needs a source_N_gain beside it.",
        )  # fmt: skip


def _listed(
    path: Path, row: int, cells: Row, num_voices: int, voices: Path, noises: Path | None,
    people: People,
) -> Listed:  # fmt: skip
    if cells.get("room_seed"):
        raise DataError("is in a room, which is not made here", advice="Write the list as audio: armillary speech mix.")

    def part(name: str, root: Path) -> Part:
        file = inside(root, path, row, cells.get(f"{name}_path", ""))
        start = int(number(path, row, cells, f"{name}_start")) if cells.get(f"{name}_start") else 0
        gain = number(path, row, cells, f"{name}_gain")
        if name != "noise" and not 0 < abs(gain) < _LARGEST_GAIN:
            raise DataError(f"{name}_gain is {gain:g}; expected a factor that leaves a voice to hear")
        return Part(file, gain, start)

    sources = tuple(part(f"source_{place}", voices) for place in range(1, num_voices + 1))
    named = tuple(speaker_of(source.path.stem) for source in sources)
    speakers, sexes = people.get(cells["mixture_ID"], (named, ()))
    return Listed(
        cells["mixture_ID"], sources, part("noise", noises) if noises else None, None, speakers, sexes
    )  # fmt: skip


def read_people(path: Path, num_voices: int, report: Report) -> People:
    """Mixture -> its speakers and their sexes, of the table beside a list; empty where it is not there."""
    if not path.is_file():
        return {}
    columns = [f"speaker_{place}_{what}" for what in ("ID", "sex") for place in range(1, num_voices + 1)]
    try:
        rows = [cells for _, cells in read_table(path, ["mixture_ID", *columns])]
    except DataError as error:
        report(error)
        return {}
    # Some lists have the ids as decimals: 7850.0.
    cells = {row["mixture_ID"]: [row[name].removesuffix(".0") for name in columns] for row in rows}
    return {name: (tuple(its[:num_voices]), tuple(its[num_voices:])) for name, its in cells.items()}
