"""Separated files as a table: one row a file and voice; and scores of known voices as one."""

from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pandas as pd
import xarray as xr

from armillary.core.files import atomic_write
from armillary.domains.speech.joining import Joiner, Piece
from armillary.domains.speech.writers.feed import Feed
from armillary.domains.speech.writers.spool import Style
from armillary.domains.speech.writers.statistics import FileStatistics
from armillary.domains.speech.writers.told import told


class FileTable:
    """Gathers statistics of files from their pieces; `take` gets the table of each file when it is over."""

    def __init__(self, take: Callable[[pd.DataFrame], None]) -> None:
        self._take = take
        self._file: FileStatistics | None = None

    def add(self, piece: Piece, style: Style) -> None:
        """Adds a piece; it follows the one before of the same file. The style of sounds changes nothing here."""
        if self._file is None:
            self._file = FileStatistics(piece)
        self._file.add(piece)
        if piece.last:
            self._take(pd.DataFrame([{"file": piece.file, **row} for row in self._file.rows()]))
            self._file = None


def score_table(records: xr.Dataset) -> pd.DataFrame:
    """One row an item and voice of records of known voices, a column for each variable."""
    table = records.to_dataframe().reset_index()
    return table.rename(columns={"source": "voice"})


def voices_found(prediction: xr.Dataset) -> dict[str, int]:
    """How many voices each file of the prediction has, by `counting.present`."""
    found: dict[str, int] = {}

    def take(table: pd.DataFrame) -> None:
        found[str(table["file"].iloc[0])] = int(table["voices"].iloc[0])

    table, joiner = FileTable(take), Joiner()
    for pieces in (joiner.add(prediction), joiner.finish()):
        for piece in pieces:
            table.add(piece, Style())
    return found


@contextmanager
def stream_csv(path: Path) -> Generator[Callable[[xr.Dataset], None], None, None]:
    """Takes predictions chunk by chunk into one table; the file appears when the block ends well."""
    with ExitStack() as stack:
        with told(path):
            temporary = stack.enter_context(atomic_write(path))
            stream = stack.enter_context(temporary.open("w", encoding="utf-8", newline=""))

        def take(table: pd.DataFrame) -> None:
            header = stream.tell() == 0
            table.to_csv(stream, index=False, header=header, float_format="%.6g", lineterminator="\n")

        feed = Feed(FileTable(take).add, path)

        def append(prediction: xr.Dataset) -> None:
            if "estimate" in prediction:
                feed.append(prediction)
            else:
                with told(path):
                    take(score_table(prediction))

        yield append
        feed.finish()
        with told(path):
            stack.close()
