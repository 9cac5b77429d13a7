"""A tree of LibriSpeech: who speaks in each utterance, and in which split the reader is."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from armillary.core.domain import Split
from armillary.core.errors import DataError
from armillary.domains.speech.readers.recordings import Recording
from armillary.domains.speech.readers.report import Report
from armillary.domains.speech.readers.tables import inside, number, read_table

TABLE, READERS, TREE = "utterances.csv", "SPEAKERS.TXT", "LibriSpeech"
_COLUMNS = ("split", "speaker_ID", "sex", "subset", "length", "origin_path")
_SPLITS: dict[str, Split] = {"train": "train", "dev": "validation", "validation": "validation", "test": "test"}
_UTTERANCE = re.compile(r"(\d+)-(\d+)-(\d+)")


def tree_of(folder: Path) -> Path | None:
    """The folder that holds the subsets: LibriSpeech in the folder, or the folder itself; None if it is no tree."""
    for root in (folder / TREE, folder):
        if (root / READERS).is_file() or any(root.glob("*/*/*/*-*-*.flac")):
            return root
    return None


def read_librispeech(folder: Path, report: Report) -> list[Recording]:
    """Every utterance of a tree.

    Splits are those of utterances.csv where that is there. Else they are the official subsets: train-* for training,
    dev-* for validation, test-* for test.

    Raises:
        DataError: no tree lies there.
    """
    root = tree_of(folder)
    if root is None:
        raise DataError(
            "holds no tree of LibriSpeech", path=folder,
            advice="Expected LibriSpeech/SUBSET/READER/CHAPTER/READER-CHAPTER-UTTERANCE.flac.",
        )  # fmt: skip
    if (folder / TABLE).is_file():
        return list(_tabled(folder / TABLE, root, report))
    sexes = read_sexes(root / READERS) if (root / READERS).is_file() else {}
    return [replace(found, sex=sexes.get(found.speaker, "")) for found in _found(root)]


def read_sexes(path: Path) -> dict[str, str]:
    """Reader -> "F" or "M", from lines of "ID | SEX | SUBSET | MINUTES | NAME"; a semicolon starts a comment."""
    sexes: dict[str, str] = {}
    with path.open(encoding="utf-8", errors="replace") as stream:
        for line in stream:
            cells = [cell.strip() for cell in line.split("|")]
            if not line.startswith(";") and len(cells) >= 2 and cells[1] in ("F", "M"):
                sexes[cells[0]] = cells[1]
    return sexes


def speaker_of(utterance: str) -> str:
    """The reader of an utterance called READER-CHAPTER-UTTERANCE; empty for other names."""
    match = _UTTERANCE.fullmatch(utterance)
    return match[1] if match else ""


def _tabled(table: Path, root: Path, report: Report) -> Iterator[Recording]:
    for row, cells in read_table(table, _COLUMNS):
        try:
            path = inside(root, table, row, cells["origin_path"])
            split = _SPLITS.get(cells["split"])
            told = int(number(table, row, cells, "length"))
            yield Recording(path.stem, cells["speaker_ID"], (path,), cells["sex"], split, told=told)
        except DataError as error:
            report(error)


def _found(root: Path) -> Iterator[Recording]:
    for path in sorted(root.glob("*/*/*/*.flac")):
        subset = path.relative_to(root).parts[0]
        speaker = speaker_of(path.stem)
        if speaker:
            yield Recording(path.stem, speaker, (path,), split=_SPLITS.get(subset.partition("-")[0]))
