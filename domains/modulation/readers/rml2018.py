"""RML2018.01a: HDF5 with X (n, 1024, 2), one-hot Y (n, 24) and SNR Z (n, 1), read where frames are asked for.

The list of classes shipped with the file (classes.txt) is in another order than the one-hot labels; the order used here
is classes.RML2018.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Float32, Int64

from armillary.core.errors import DataError
from armillary.domains.modulation.classes import RML2018
from armillary.domains.modulation.frames import Frames, Indices
from armillary.domains.modulation.readers.report import Report
from armillary.domains.modulation.readers.unusable import finite

# The file tells no rate; recipes count as if it were this one.
NOMINAL_RATE_HZ = 1e6
_ROWS = 1 << 16  # rows of labels at a time
_RUN_ROWS = 4096  # rows of frames read at once
_GAP = 8  # rows that are rather read than stepped over
_ADVICE = "Expected RML2018.01a: X (n, length, 2), Y (n, 24) one-hot and Z (n, 1). Fetch it again if it was cut short."


class Hdf5Frames:
    """Frames of some rows of X, read where they are asked for; each process opens the file for itself."""

    def __init__(self, path: Path, rows: Int64[np.ndarray, " n"], length: int) -> None:
        self.path, self.rows = path, rows
        self.shape = (len(rows), 2, length)
        self._file: Any = None
        self._process = -1

    def __getstate__(self) -> dict[str, Any]:
        # An open file neither pickles nor survives a fork.
        return {**self.__dict__, "_file": None, "_process": -1}

    def __getitem__(self, indices: Indices) -> Float32[np.ndarray, "m 2 l"]:
        """The frames at `indices`, in their order.

        Raises:
            DataError: a damaged file, or a frame that is not finite.
        """
        iq = self.unchecked(indices)
        bad = np.flatnonzero(~finite(iq))
        if len(bad):
            raise DataError(
                "samples that are not finite (NaN or infinity)",
                path=self.path,
                item=f"row {self.rows[indices[bad[0]]]}",
                advice="Compare the file's checksum with its source.",
            )
        return iq

    def unchecked(self, indices: Indices) -> Float32[np.ndarray, "m 2 l"]:
        """The frames at `indices`, finite or not.

        Raises:
            DataError: a damaged file.
        """
        unique, inverse = np.unique(self.rows[indices], return_inverse=True)
        iq = np.empty((len(unique), 2, self.shape[2]), np.float32)
        try:
            self._read(unique, iq)
        except OSError as error:
            raise DataError(f"cannot be read: {str(error)[:200]}", path=self.path, advice=_ADVICE) from error
        return iq[inverse.reshape(-1)]

    def _read(self, rows: Int64[np.ndarray, " u"], into: Float32[np.ndarray, "u 2 l"]) -> None:
        """Rows in ascending order, neighbours at once."""
        frames = self._open()["X"]
        done = 0
        for run in _runs(rows, frames.chunks[0] if frames.chunks else 1):
            first = int(run[0])
            block = frames[first : int(run[-1]) + 1]
            into[done : done + len(run)] = block[run - first].transpose(0, 2, 1)
            done += len(run)

    def _open(self) -> Any:
        if self._process != os.getpid():
            self._file, self._process = h5py.File(self.path, "r"), os.getpid()
        return self._file


def _runs(rows: Int64[np.ndarray, " u"], chunk_rows: int) -> Iterator[Int64[np.ndarray, " r"]]:
    """Ascending rows in pieces that lie near each other: in one chunk of the file or in one that follows closely."""
    chunks = rows // max(chunk_rows, 1)
    apart = (np.diff(rows) > _GAP) & (np.diff(chunks) > 0)
    apart |= np.diff(rows // _RUN_ROWS) > 0
    yield from (piece for piece in np.split(rows, np.flatnonzero(apart) + 1) if len(piece))


def load_rml2018(path: Path, report: Report) -> Frames:
    """All frames of the file, left on disk; ids are row numbers, each frame its own group.

    Rows whose label is not one-hot are counted, reported and left out.

    Raises:
        DataError: a truncated file, missing datasets, or other shapes than RML2018.01a has.
    """
    try:
        with h5py.File(path, "r") as file:
            length = _check(path, file)
            place, snr = _labels(file)
    except (OSError, RuntimeError, KeyError) as error:
        raise DataError(f"is truncated or no HDF5: {str(error)[:200]}", path=path, advice=_ADVICE) from error
    rows = np.flatnonzero((place >= 0) & np.isfinite(snr))
    _report_unlabelled(path, place, snr, report)
    if len(rows) == 0:
        raise DataError("has no row with a one-hot label", path=path, advice=_ADVICE)
    ids = np.char.zfill(rows.astype(np.str_), 7)
    return Frames(
        Hdf5Frames(path.absolute(), rows, length),
        np.array(RML2018)[place[rows]],
        snr[rows],
        ids,
        ids,
        np.zeros(len(rows), np.int64),
        sources=(str(path),),
    )


def _report_unlabelled(path: Path, place: np.ndarray, snr: np.ndarray, report: Report) -> None:
    for problem, bad in (("whose label is not one-hot", place < 0), ("without a finite SNR", ~np.isfinite(snr))):
        if bad.any():
            report(
                DataError(
                    f"{bad.sum()} of {len(place)} rows {problem}",
                    path=path,
                    item=f"row {np.flatnonzero(bad)[0]}",
                    advice="They are left out; the place is the first one's.",
                )
            )


def _check(path: Path, file: Any) -> int:
    """Samples in a frame, when the datasets are what they should be."""
    found: dict[str, Any] = {}
    for name in ("X", "Y", "Z"):
        # Links and virtual or external datasets would read other files than the one that was given.
        own = isinstance(file.get(name, getlink=True), h5py.HardLink) and isinstance(file[name], h5py.Dataset)
        if not own or file[name].external or file[name].is_virtual:
            raise DataError(
                f"has no dataset '{name}' of its own; it has: {', '.join(file)[:200]}", path=path, advice=_ADVICE
            )
        found[name] = file[name]
    shapes = {name: tuple(dataset.shape) for name, dataset in found.items()}
    x, y, z = shapes["X"], shapes["Y"], shapes["Z"]
    numbers = all(dataset.dtype.kind in "iufb" for dataset in found.values())
    fits = len(x) == 3 and x[2] == 2 and x[1] > 0 and len(y) == 2 and y[0] == x[0] and z in ((x[0], 1), (x[0],))
    if not fits or not numbers:
        raise DataError(f"holds {shapes}", path=path, advice=_ADVICE)
    if y[1] != len(RML2018):
        raise DataError(f"has labels of {y[1]} classes, expected {len(RML2018)}", path=path, advice=_ADVICE)
    # An empty file can claim any shape; samples do not compress.
    if x[0] * x[1] * 2 > 100 * max(path.stat().st_size, 1):
        raise DataError(f"is far too small for X of shape {x}", path=path, advice=_ADVICE)
    return x[1]


def _labels(file: Any) -> tuple[Int64[np.ndarray, " n"], Float32[np.ndarray, " n"]]:
    """Place of the class (-1: not one-hot) and SNR label [dB] of each row, a part of the rows at a time."""
    count = file["X"].shape[0]
    place, snr = np.empty(count, np.int64), np.empty(count, np.float32)
    for start in range(0, count, _ROWS):
        part = slice(start, start + _ROWS)
        hot = np.asarray(file["Y"][part])
        single = (hot != 0).sum(1) == 1
        place[part] = np.where(single & (hot.max(1) == 1), hot.argmax(1), -1)
        snr[part] = np.asarray(file["Z"][part], np.float32).reshape(-1)
    return place, snr
