"""A FITS binary table from outside: sizes checked against the file before anything is allocated."""

import io
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from jaxtyping import Shaped

from armillary.core.errors import DataError, near_miss
from armillary.domains.transients.readers.archives import DAMAGE, damaged, open_bounded

_NUMBER = re.compile(r"1?[BIJKED]$")
_TEXT = re.compile(r"\d*A$")
_ADVICE = "Fetch it again, or check it with fitsverify."


@dataclass(frozen=True)
class FitsTable:
    """The first binary table of a file; columns are views of the file where it is not compressed."""

    path: Path
    header: Any
    _columns: Any
    _data: Any

    def numbers(self, spellings: Sequence[str]) -> Shaped[np.ndarray, " rows"]:
        """A column of numbers under the first spelling found."""
        return self._column(spellings, _NUMBER, "one number")

    def texts(self, spellings: Sequence[str]) -> Shaped[np.ndarray, " rows"]:
        """A column of strings (or of numbers, as some write SNID), one word a row."""
        return self._column(spellings, re.compile(f"{_NUMBER.pattern}|{_TEXT.pattern}"), "text")

    def optional(self, spellings: Sequence[str]) -> Shaped[np.ndarray, " rows"]:
        """Like `numbers`, but nothing where the table has no such column."""
        if any(name in self._columns.names for name in spellings):
            return self.numbers(spellings)
        return np.zeros(0)

    def _column(self, spellings: Sequence[str], form: re.Pattern[str], wanted: str) -> Shaped[np.ndarray, " rows"]:
        name = next((name for name in spellings if name in self._columns.names), None)
        if name is None:
            raise DataError(
                f"no column {' or '.join(spellings)}{near_miss(spellings[0], self._columns.names)}", path=self.path,
                advice="The pair is left out; rename the column.",
            )  # fmt: skip
        # Arrays of variable length follow pointers of the file, so they are not opened.
        if not form.match(str(self._columns[name].format)):
            raise DataError(
                f"column {name} has the form {self._columns[name].format}, expected {wanted} a row", path=self.path,
                advice=_ADVICE,
            )  # fmt: skip
        return guarded(self.path, lambda: np.asarray(self._data[name]))


def open_table(path: Path, stack: ExitStack) -> FitsTable:
    """The first binary table of a plain or compressed FITS file; `stack` closes it."""
    stream = stack.enter_context(_seekable(path))
    return guarded(path, lambda: _table(path, stream, stack))


def guarded(path: Path, action: Callable[[], Any]) -> Any:
    """The action's result; whatever astropy raises on a damaged file becomes one DataError."""
    try:
        with warnings.catch_warnings():
            # Truncation and odd keywords are checked here or do not matter to these columns.
            warnings.simplefilter("ignore")
            return action()
    except DataError:
        raise
    except Exception as error:
        problem = f"cannot be read as a FITS table: {type(error).__name__}: {str(error)[:200]}"
        raise DataError(problem, path=path, advice=_ADVICE) from error


def _seekable(path: Path) -> io.BufferedIOBase:
    """The decompressed file; a compressed one is unfolded, under limits, into a temporary file without a name."""
    try:
        stream = open_bounded(path)
        if stream.seekable():
            return stream
        with stream, tempfile.TemporaryFile() as unfolded:
            shutil.copyfileobj(stream, unfolded)
            unfolded.seek(0)
            # astropy wants a file that was opened for reading only.
            return os.fdopen(os.dup(unfolded.fileno()), "rb")
    except DAMAGE as error:
        raise damaged(str(path), error) from error


def _table(path: Path, stream: io.BufferedIOBase, stack: ExitStack) -> FitsTable:
    stream.seek(0, 2)
    size = stream.tell()
    stream.seek(0)
    units: Any = stack.enter_context(fits.open(stream, mode="readonly", memmap=True))
    unit: Any = next((unit for unit in units if isinstance(unit, fits.BinTableHDU)), None)
    if unit is None:
        raise DataError("has no binary table", path=path, advice=_ADVICE)
    start = unit.fileinfo()["datLoc"]
    claimed = unit.header["NAXIS1"] * unit.header["NAXIS2"]
    if not 0 <= claimed <= size - start:
        raise DataError(
            f"its header claims {claimed} bytes of rows, but {size - start} follow", path=path,
            advice="The file is cut off or its header is wrong. " + _ADVICE,
        )  # fmt: skip
    return FitsTable(path, units[0].header + unit.header, unit.columns, unit.data)
