"""Frames of a set as plain arrays in the cache: read once, as a stream, and then mapped."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from armillary.core.cards import sha256
from armillary.core.errors import DataError
from armillary.core.files import atomic_write
from armillary.core.paths import cache_root
from armillary.domains.modulation.frames import Frames, Indices
from armillary.domains.modulation.readers.report import Report

VERSION = 1  # raised whenever a reader changes what it yields, so that older stores are not used
_DIGEST_BYTES = 200_000_000
_COLUMNS = ("label", "snr_db", "id", "group", "start")
Read = Callable[[Report], Iterator[Frames]]


class StoredFrames:
    """Frames in one file of float32, mapped where they are used; pickles as its path."""

    def __init__(self, path: Path, shape: tuple[int, int, int]) -> None:
        self.path, self.shape = path, shape
        self._map: np.ndarray | None = None

    def __getitem__(self, indices: Indices) -> Float32[np.ndarray, "m 2 l"]:
        if self._map is None:
            self._map = np.memmap(self.path, np.float32, "r", shape=self.shape)
        return np.array(self._map[indices], np.float32)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_map": None}


def stored(paths: Sequence[Path], read: Read, report: Report) -> Frames:
    """All frames that `read` yields; the first call writes them to the cache, later ones map what is there.

    What could not be used is reported by every call. Only one part is in memory at a time.

    Raises:
        DataError: nothing could be read.
    """
    folder = cache_root() / "frames" / _digest(paths)
    if not folder.is_dir():
        problems: list[DataError] = []
        with atomic_write(folder) as temporary:
            temporary.mkdir()
            _write(temporary, read(problems.append), problems, paths)
    return _open(folder, report)


def _digest(paths: Sequence[Path]) -> str:
    hasher = hashlib.blake2b(str(VERSION).encode(), digest_size=16)
    for path in sorted(paths):
        hasher.update(f"{path.absolute()}:{_identity(path)}\n".encode())
    return hasher.hexdigest()


def _identity(file: Path) -> str:
    """The content's digest; of a large file, whose digest would take minutes, its size and time of change."""
    facts = os.stat(file)
    return sha256(file) if facts.st_size <= _DIGEST_BYTES else f"{facts.st_size}:{facts.st_mtime_ns}"


@dataclass(frozen=True)
class _Problem:
    """What a DataError says, as it is kept beside the frames."""

    problem: str
    path: str | None
    item: str | None
    row: int | None
    advice: str

    @classmethod
    def of(cls, error: DataError) -> "_Problem":
        return cls(error.problem, None if error.path is None else str(error.path), error.item, error.row, error.advice)

    def error(self) -> DataError:
        return DataError(self.problem, path=self.path, item=self.item, row=self.row, advice=self.advice)


def _write(folder: Path, parts: Iterator[Frames], problems: list[DataError], paths: Sequence[Path]) -> None:
    columns: dict[str, list[np.ndarray]] = {name: [] for name in _COLUMNS}
    first: Frames | None = None
    with (folder / "iq.bin").open("wb") as stream:
        for part in parts:
            first = first or part
            if part.length != first.length:
                raise DataError(
                    f"frames of {part.length} and of {first.length} samples lie in one data set",
                    path=", ".join(part.sources) or None,
                    advice="Keep them in folders of their own: one data card holds one length.",
                )
            stream.write(np.ascontiguousarray(part.iq[np.arange(len(part))], np.float32).tobytes())
            for name in _COLUMNS:
                columns[name].append(getattr(part, name))
    if first is None:
        raise problems[0] if problems else DataError("no frame found", path=paths[0])
    for name in _COLUMNS:
        np.save(folder / f"{name}.npy", np.concatenate(columns[name]))
    about = {
        "length": first.length,
        "sample_rate_hz": first.sample_rate_hz,
        "centre_hz": first.centre_hz,
        "sources": [str(path) for path in paths],
        "problems": [asdict(_Problem.of(error)) for error in problems],
    }
    (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")


def _open(folder: Path, report: Report) -> Frames:
    about: dict[str, Any] = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    for problem in about["problems"]:
        report(_Problem(**problem).error())
    columns = {name: np.load(folder / f"{name}.npy", allow_pickle=False) for name in _COLUMNS}
    start: Int64[np.ndarray, " n"] = columns.pop("start")
    shape = (len(start), 2, int(about["length"]))
    rate, centre = float(about["sample_rate_hz"]), float(about["centre_hz"])
    return Frames(
        iq=StoredFrames(folder / "iq.bin", shape), start=start, sample_rate_hz=rate, centre_hz=centre,
        sources=tuple(about["sources"]), **columns,
    )  # fmt: skip
