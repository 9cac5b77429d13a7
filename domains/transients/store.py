"""Light curves of a dataset as memory-mapped arrays in the cache: read once, as a stream."""

import hashlib
import json
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from armillary.core.cards import sha256
from armillary.core.domain import ReadOptions
from armillary.core.errors import DataError
from armillary.core.files import atomic_write
from armillary.core.paths import cache_root
from armillary.domains.transients.lightcurves import OBJECT_TYPES, OBSERVATION_TYPES, LightCurves
from armillary.domains.transients.read import read

VERSION = 1  # raised whenever a reader changes what it yields, so that older stores are not used
_DIGEST_BYTES = 200_000_000
_TEXT = ("object_id", "label")
_LOG = logging.getLogger("armillary")


def load_curves(paths: Sequence[Path]) -> LightCurves:
    """All light curves in the given files; the first call reads them, later ones map the stored arrays.

    Problems in the files are logged once, with their number; their text stays beside the store.

    Raises:
        DataError: nothing could be read.
    """
    folder = cache_root() / "light_curves" / _digest(paths)
    if not folder.is_dir():
        problems: list[DataError] = []
        chunks = read(paths, ReadOptions(problems.append))
        with atomic_write(folder) as temporary:
            temporary.mkdir()
            _write(temporary, chunks, problems, paths)
        if problems:
            _LOG.warning(
                "%d problems in %s, listed in %s; the first: %s",
                len(problems),
                ", ".join(path.name for path in paths),
                folder / "problems.txt",
                problems[0],
            )
    return _open(folder)


def _digest(paths: Sequence[Path]) -> str:
    hasher = hashlib.blake2b(str(VERSION).encode(), digest_size=16)
    for path in sorted(paths):
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for file in files:
            hasher.update(f"{file.name}:{_identity(file)}\n".encode())
    return hasher.hexdigest()


def _identity(file: Path) -> str:
    """The content's digest; of a large file, whose digest would take minutes, its size and time of change."""
    facts = file.stat()
    return sha256(file) if facts.st_size <= _DIGEST_BYTES else f"{facts.st_size}:{facts.st_mtime_ns}"


def _write(folder: Path, chunks: Iterable[xr.Dataset], problems: list[DataError], paths: Sequence[Path]) -> None:
    """Appends the columns of each chunk to one file each; only a chunk is in memory at a time."""
    text: dict[str, list[np.ndarray]] = {name: [] for name in _TEXT}
    numbers = [name for name in (*OBSERVATION_TYPES, *OBJECT_TYPES) if name not in _TEXT]
    files = {name: (folder / f"{name}.bin").open("wb") for name in numbers}
    first: LightCurves | None = None
    try:
        for chunk in chunks:
            curves = LightCurves.from_dataset(chunk)
            first = first or curves
            if curves.band != first.band or curves.time_reference != first.time_reference:
                raise DataError(
                    "files of two surveys lie in one dataset",
                    path=paths[0],
                    advice="Read them apart: one data card holds one survey.",
                )
            for name, file in files.items():
                file.write(np.ascontiguousarray(getattr(curves, name)).tobytes())
            for name in _TEXT:
                text[name].append(getattr(curves, name))
    finally:
        for file in files.values():
            file.close()
    if first is None:
        raise problems[0] if problems else DataError("no light curve found", path=paths[0])
    for name in _TEXT:
        np.save(folder / f"{name}.npy", np.concatenate(text[name]))
    about = {"band": first.band, "wavelength": first.wavelength.tolist(), "time_reference": first.time_reference,
             "attrs": dict(first.attrs)}  # fmt: skip
    (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")
    (folder / "problems.txt").write_text("\n".join(map(str, problems)), encoding="utf-8")


def _open(folder: Path) -> LightCurves:
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    columns: dict[str, Any] = {name: np.load(folder / f"{name}.npy", allow_pickle=False) for name in _TEXT}
    for name, kind in {**OBSERVATION_TYPES, **OBJECT_TYPES}.items():
        if name not in _TEXT:
            columns[name] = np.memmap(folder / f"{name}.bin", dtype=kind, mode="r")
    return LightCurves(
        **columns,
        band=tuple(about["band"]),
        wavelength=np.array(about["wavelength"], np.float64),
        time_reference=about["time_reference"],
        attrs=about["attrs"],
    )
