"""Rows of a long table, in almost any order, as tables that hold all rows of their objects."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int, Int64

from armillary.core.errors import DataError
from armillary.domains.transients.readers.blocks import Block

WINDOW_ROWS = 600_000  # rows of one object may lie half as far apart


class ObjectBuffer:
    """Holds rows back until their objects are complete.

    An object counts as complete when none of the last `window // 2` rows is its own; at most about `window` rows and
    8 bytes for each object that was given out are kept.
    """

    def __init__(self, path: Path, window: int = WINDOW_ROWS) -> None:
        self._path, self._window = path, window
        self.disordered = False  # whether an object's rows were found apart
        self._blocks: list[Block] = []
        self._seen = SeenIds()

    def push(self, block: Block) -> Iterator[Block]:
        """Take rows in, give complete objects out."""
        self._blocks.append(block)
        if sum(len(one.rows) for one in self._blocks) <= self._window:
            return
        table = join(self._blocks)
        self.disordered = self.disordered or _is_disordered(table.columns["object_id"])
        waits = _recent(table.columns["object_id"], self._window // 2)
        if waits.sum() > 0.9 * self._window:
            raise self._disorder(table, f"more than {self._window} rows belong to objects that are not complete")
        self._blocks = [take(table, waits)]
        yield self._finished(take(table, ~waits))

    def rest(self, *, without_last: bool = False) -> Iterator[Block]:
        """The remaining objects; without the last one when its rows may have been cut off."""
        if not self._blocks:
            return
        table = join(self._blocks)
        self._blocks = []
        if without_last and len(table.rows):
            ids = table.columns["object_id"]
            table = take(table, ids != ids[-1])
        if len(table.rows):
            yield self._finished(table)

    def clear(self) -> None:
        """Forget the rows that are held back."""
        self._blocks = []

    def _finished(self, table: Block) -> Block:
        table = _sorted(table)
        ids = table.columns["object_id"]
        starts = run_starts(ids)
        again = self._seen.add(ids[starts])
        if again.any():
            first = int(starts[np.flatnonzero(again)[0]])
            raise self._disorder(
                table, f"object {ids[first]} comes again more than {self._window // 2} rows after its other rows", first
            )
        return table

    def _disorder(self, table: Block, problem: str, place: int = 0) -> DataError:
        self.clear()
        name = self._path.name
        return DataError(
            f"{problem}; reading stops, and an object given out before may lack rows",
            path=self._path, row=int(table.rows[place]) if len(table.rows) else None,
            advice="Sort the table by object first: "
            f"(head -n 1 {name}; tail -n +2 {name} | sort -t, -k1,1n) > sorted.csv",
        )  # fmt: skip


class SeenIds:
    """Which ids have been given out, 8 bytes each; increasing ids, as in every release, cost nothing to check."""

    def __init__(self) -> None:
        self._runs: list[Int64[np.ndarray, " n"]] = []
        self._largest: int | None = None

    def add(self, ids: Int64[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
        """Take sorted new ids in, and tell which had been there before."""
        again = np.zeros(len(ids), np.bool_)
        if len(ids) == 0:
            return again
        if self._largest is not None and ids[0] <= self._largest:
            for run in self._runs:
                place = np.minimum(np.searchsorted(run, ids), len(run) - 1)
                again |= run[place] == ids
        self._runs.append(ids.copy())
        # Runs of unlike size keep both the merging and the search logarithmic.
        while len(self._runs) > 1 and len(self._runs[-2]) < 2 * len(self._runs[-1]):
            last = self._runs.pop()
            self._runs[-1] = np.sort(np.concatenate([self._runs[-1], last]), kind="stable")
        self._largest = int(ids[-1]) if self._largest is None else max(self._largest, int(ids[-1]))
        return again


def run_starts(ids: Int64[np.ndarray, " rows"]) -> Int64[np.ndarray, " runs"]:
    """Where a run of equal ids begins."""
    return np.flatnonzero(np.diff(ids, prepend=ids[:1] - 1)).astype(np.int64)


def join(blocks: Iterable[Block]) -> Block:
    """Blocks one after the other."""
    parts = list(blocks)
    if len(parts) == 1:
        return parts[0]
    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns}
    return Block(columns, np.concatenate([part.rows for part in parts]))


def take(block: Block, rows: Bool[np.ndarray, " rows"] | Int[np.ndarray, " kept"] | slice) -> Block:
    """Some rows of a block."""
    return Block({name: column[rows] for name, column in block.columns.items()}, block.rows[rows])


def _recent(ids: Int64[np.ndarray, " rows"], span: int) -> Bool[np.ndarray, " rows"]:
    """Which rows belong to objects that have a row among the last `span`."""
    starts = run_starts(ids)
    lengths = np.diff(np.append(starts, len(ids)))
    run_ids = ids[starts]
    late = np.unique(run_ids[starts + lengths > len(ids) - span])
    return np.repeat(np.isin(run_ids, late), lengths)


def _is_disordered(ids: Int64[np.ndarray, " rows"]) -> bool:
    starts = run_starts(ids)
    return len(np.unique(ids[starts])) < len(starts)


def _sorted(table: Block) -> Block:
    ids = table.columns["object_id"]
    if (np.diff(ids) >= 0).all():
        return table
    return take(table, np.argsort(ids, kind="stable"))
