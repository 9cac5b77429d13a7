"""Frames of a data card's folder, whatever published set lies in it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from armillary.core.errors import DataError
from armillary.domains.modulation.frames import Frames, concat
from armillary.domains.modulation.readers.hisarmod import read_hisarmod, tables
from armillary.domains.modulation.readers.report import Report
from armillary.domains.modulation.readers.rml_pickle import NOMINAL_RATE_HZ as RML2016_RATE_HZ
from armillary.domains.modulation.readers.rml_pickle import read_rml_pickle
from armillary.domains.modulation.readers.sniff import Kind, is_data, sniff
from armillary.domains.modulation.readers.store import stored


@dataclass(frozen=True)
class _Set:
    """A published set: its name, its files in a folder (given the kinds of what lies there), how these are loaded."""

    name: str
    files: Callable[[Path, Mapping[Path, Kind]], list[Path]]
    load: Callable[[list[Path], int, Report], Frames]


def load_card(folder: Path, report: Report, length: int = 128) -> Frames:
    """All frames of the set in a folder and below it; what cannot be used is reported.

    Pickles and CSV tables are read once and lie in the cache from then on; HDF5 is read in place. Sample rates that no
    file tells are those of the published recipe. `length` is that of the frames cut from sets of recordings.

    Raises:
        DataError: no known set lies there, or it cannot be read.
    """
    kinds: dict[Path, Kind] = {}
    for path in sorted(filter(is_data, folder.rglob("*"))):
        try:
            kinds[path] = sniff(path)
        except DataError as error:
            report(error)
    for known in _SETS:
        files = known.files(folder, kinds)
        if files:
            return known.load(files, length, report)
    raise DataError(
        "holds no data set that is known",
        path=folder,
        advice=f"Expected one of: {', '.join(known.name for known in _SETS)}.",
    )


def _of(kind: Kind) -> Callable[[Path, Mapping[Path, Kind]], list[Path]]:
    return lambda folder, kinds: [path for path, its in kinds.items() if its is kind]


def _load_pickles(paths: list[Path], length: int, report: Report) -> Frames:
    """One pickle or several, whose frames are then called after their file, too."""
    parts = [stored([path], lambda tell, path=path: read_rml_pickle(path, tell), report) for path in paths]
    if len(parts) > 1:
        parts = [_called(part, path.stem) for part, path in zip(parts, paths, strict=True)]
    return replace(concat(parts) if len(parts) > 1 else parts[0], sample_rate_hz=RML2016_RATE_HZ)


def _called(frames: Frames, name: str) -> Frames:
    ids = np.array([f"{name}/{own}" for own in frames.id.tolist()], np.str_)
    return replace(frames, id=ids, group=ids)


def _load_hdf5(paths: list[Path], length: int, report: Report) -> Frames:
    # Here: h5py is slow to import, and the other sets do without it.
    from armillary.domains.modulation.readers.rml2018 import NOMINAL_RATE_HZ, load_rml2018

    if len(paths) > 1:
        raise DataError(
            f"holds {len(paths)} HDF5 files ({', '.join(path.name for path in paths)}); expected one",
            path=paths[0].parent,
            advice="Keep one set in a folder.",
        )
    return replace(load_rml2018(paths[0], report), sample_rate_hz=NOMINAL_RATE_HZ)


def _load_hisarmod(paths: list[Path], length: int, report: Report) -> Frames:
    def read(tell: Report) -> Iterator[Frames]:
        for path in paths:
            yield from read_hisarmod(path, tell)

    return stored([table for path in paths for table in tables(path)], read, report)


def _recordings(folder: Path, kinds: Mapping[Path, Kind]) -> list[Path]:
    return sorted(path for path in folder.rglob("wav.tar.xz") if path.with_name("labels.csv").is_file())


def _load_recordings(paths: list[Path], length: int, report: Report) -> Frames:
    from armillary.domains.modulation.readers.satellites import load_satellites

    return load_satellites(paths[0].parent, length, report)


# In this order; a folder is taken as the first whose files it holds.
_SETS = (
    _Set("RML2016.10a or 10b (pickle)", _of(Kind.RML_PICKLE), _load_pickles),
    _Set("RML2018.01a (HDF5)", _of(Kind.RML_HDF5), _load_hdf5),
    _Set("HisarMod2019.1 (CSV)", _of(Kind.HISARMOD), _load_hisarmod),
    _Set("satellite recordings (wav.tar.xz and labels.csv)", _recordings, _load_recordings),
)
