"""Which audio files are meant by paths of files, folders and lists."""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from armillary.core.errors import DataError
from armillary.domains.speech.readers.audio import KNOWN, SUFFIXES
from armillary.domains.speech.readers.report import Report

LISTS = (".txt", ".lst", ".scp")
# Attribute of chunks: recordings that have a name such as voices get, so that no voice replaces one to come.
KEPT = "kept"
_LIKE_A_VOICE = re.compile(r".*-\d+")
# Characters that a line of a list may have: a path cannot be longer.
_LONGEST_LINE = 1 << 16


def find_audio(paths: Sequence[Path], report: Report) -> Iterator[Path]:
    """Each file that is given, lies in a folder that is given, or stands in a list that is given; none twice.

    Folders are searched for files with the suffix of an audio format; hidden ones are passed over. Lists (.txt, .lst,
    .scp) have a path a line, relative to the list, in .scp behind a name; # starts a comment. What is not there is
    reported.
    """
    seen: set[Path] = set()
    for given in map(Path, paths):
        for file in _meant(given, report):
            if file not in seen:
                seen.add(file)
                yield file


def named_like_voices(files: Iterable[Path]) -> list[str]:
    """Those that a voice of another recording could replace: talk-1.wav."""
    return [str(file) for file in files if _LIKE_A_VOICE.fullmatch(file.stem)]


def _meant(given: Path, report: Report) -> Iterator[Path]:
    if given.is_dir():
        yield from _in_folder(given, report)
    elif given.suffix.lower() in LISTS:
        yield from _in_list(given, report)
    elif given.exists():
        yield given
    else:
        report(DataError("does not exist", path=given, advice="Check the path."))


def _in_folder(folder: Path, report: Report) -> Iterator[Path]:
    found = False
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in SUFFIXES and not hidden and path.is_file():
            found = True
            yield path
    if not found:
        report(DataError("holds no audio files", path=folder, advice=f"Expected {KNOWN}."))


def _in_list(path: Path, report: Report) -> Iterator[Path]:
    try:
        with path.open(encoding="utf-8") as stream:
            row, found = 0, False
            while line := stream.readline(_LONGEST_LINE):
                row, text = row + 1, line.strip()
                if text and not text.startswith("#"):
                    found = True
                    yield from _of_line(path, row, text, report)
        if not found:
            report(DataError("lists no files", path=path, advice="Expected the path of an audio file in every line."))
    except OSError as error:
        report(DataError(f"cannot be read ({error.strerror})", path=path, advice="Check the path."))
    except UnicodeDecodeError:
        report(DataError("is no list of paths in UTF-8", path=path, advice=f"Give {KNOWN}, or a text file of paths."))


def _of_line(path: Path, row: int, text: str, report: Report) -> Iterator[Path]:
    """The file of one line of a list, unless it is not there."""
    name = text.partition(" ")[2].strip() if path.suffix.lower() == ".scp" else text
    problem = ""
    if "\0" in name or not name:
        problem = f"'{text[:100]}' is no path"
    elif name.endswith("|"):
        problem = f"'{text[:100]}' is a command; only paths are followed"
    elif not (path.parent / name).is_file():
        problem = f"{name[:300]} is no file"
    if problem:
        report(DataError(problem, path=path, row=row, advice="Paths are relative to the list."))
    else:
        yield path.parent / name
