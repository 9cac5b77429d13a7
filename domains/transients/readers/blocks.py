"""Numeric CSV tables of any size as a stream of column blocks, in constant memory."""

import io
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int64, Shaped

from armillary.core.errors import DataError, near_miss
from armillary.domains.transients.readers.archives import DAMAGE, MEGABYTE, damaged, open_bounded
from armillary.domains.transients.readers.report import Report

BLOCK_BYTES = 8 * MEGABYTE
LINE_BYTES = 64 * 1024  # no line of a light-curve table is longer
BAD_ROWS = 100  # a table with more rows that cannot be read is given up


@dataclass(frozen=True)
class Column:
    """A wanted column: what the file may call it, its type, and whether the table is of use without it."""

    names: tuple[str, ...]
    kind: type
    required: bool = True


@dataclass(frozen=True)
class Block:
    """Some consecutive rows of a table: wanted columns by our name, and each row's line in the file."""

    columns: dict[str, Shaped[np.ndarray, " rows"]]
    rows: Int64[np.ndarray, " rows"]


def read_blocks(path: Path, wanted: Mapping[str, Column], report: Report, size: int = BLOCK_BYTES) -> Iterator[Block]:
    """The wanted columns of a CSV table, some megabytes at a time.

    Values may be padded with spaces. Rows that cannot be read are reported and dropped; columns that are not wanted
    are never turned into numbers.
    """
    parser: _Parser | None = None
    try:
        with open_bounded(path) as stream:
            header = stream.readline(LINE_BYTES)
            parser = _Parser(path, header_fields(header, path), wanted, report)
            for text in _whole_lines(stream, size, path):
                yield parser.parse(text)
                parser.give_up_if_hopeless()
    except DataError:
        raise
    except DAMAGE as error:
        line = parser.line if parser else 1
        raise damaged(str(path), error, f" after row {line - 1}") from error


def header_fields(line: bytes, path: Path) -> list[str]:
    """Column names of a CSV header line."""
    if not line.strip():
        raise DataError("has no header line", path=path, advice="It may be empty; fetch it again.")
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"the header is not UTF-8 text ({error.reason} at byte {error.start})", path=path, row=1,
            advice="Save the table as UTF-8.",
        ) from error  # fmt: skip
    return [name.strip().strip('"') for name in text.strip().split(",")]


def _whole_lines(stream: io.BufferedIOBase, size: int, path: Path) -> Iterator[bytes]:
    """Chunks of the stream of about `size` bytes that end at line ends."""
    rest = b""
    while data := stream.read(size):
        cut = data.rfind(b"\n") + 1
        if cut == 0 and len(rest) + len(data) > max(size, LINE_BYTES):
            raise DataError(f"has a line of more than {size} bytes", path=path, advice="It is not a CSV table.")
        if cut:
            yield rest + data[:cut]
            rest = data[cut:]
        else:
            rest += data
    if rest.strip():
        yield rest + b"\n"


class _Parser:
    """Turns lines into columns and knows how far it has come in the file."""

    def __init__(self, path: Path, header: list[str], wanted: Mapping[str, Column], report: Report) -> None:
        self.path, self.header, self.report = path, header, report
        self.line = 2  # the header is row 1
        self.bad = 0
        self.places = _find_columns(path, header, wanted)
        self.kinds = {name: wanted[name].kind for name in self.places}

    def parse(self, text: bytes) -> Block:
        lines = _count(text, b"\n")
        block = self._fast(text, lines)
        if block is None:
            block = self._slow(text)
        self.line += lines
        return block

    def _fast(self, text: bytes, lines: int) -> Block | None:
        """All rows in one call, or None when some row needs a closer look."""
        if _count(text, b",") != lines * (len(self.header) - 1) or b'"' in text:
            return None
        kinds: Any = {self.places[name]: kind for name, kind in self.kinds.items()}
        try:
            # A flux beyond float32 becomes infinite here and is reported later with its object.
            with warnings.catch_warnings(), np.errstate(over="ignore"):
                warnings.simplefilter("error")
                table = pd.read_csv(
                    io.BytesIO(text), header=None, names=list(range(len(self.header))), index_col=False,
                    usecols=sorted(kinds), dtype=kinds, skip_blank_lines=False, skipinitialspace=True,
                    na_values=[""], keep_default_na=True, low_memory=False,
                )  # fmt: skip
        except (ValueError, OverflowError, Warning):
            return None
        if len(table) != lines:
            return None
        columns = {name: table[place].to_numpy() for name, place in self.places.items()}
        return Block(columns, self.line + np.arange(lines, dtype=np.int64))

    def _slow(self, text: bytes) -> Block:
        """Row by row, so that a bad one can be named."""
        values: dict[str, list[Any]] = {name: [] for name in self.places}
        rows: list[int] = []
        for row, line in enumerate(text.split(b"\n")[:-1], self.line):
            if not line.strip():
                continue
            try:
                fields = self._fields(line)
            except ValueError as error:
                self.bad += 1
                if self.bad > BAD_ROWS:
                    break
                advice = "The row is dropped; correct or remove it."
                self.report(DataError(str(error), path=self.path, row=row, advice=advice))
                continue
            rows.append(row)
            for name, value in fields.items():
                values[name].append(value)
        with np.errstate(over="ignore"):
            columns = {name: np.array(values[name], kind) for name, kind in self.kinds.items()}
        return Block(columns, np.array(rows, np.int64))

    def _fields(self, line: bytes) -> dict[str, Any]:
        fields = line.decode("utf-8", "replace").split(",")
        if len(fields) != len(self.header):
            raise ValueError(f"the row has {len(fields)} fields, expected {len(self.header)}")
        return {name: _number(fields[place], name, self.kinds[name]) for name, place in self.places.items()}

    def give_up_if_hopeless(self) -> None:
        """Raise when too many rows could not be read."""
        if self.bad > BAD_ROWS:
            raise DataError(
                f"more than {BAD_ROWS} rows cannot be read; the rest of the table is left out",
                path=self.path, advice="Check that it is the table that its header says.",
            )  # fmt: skip


def _count(text: bytes, byte: bytes) -> int:
    # Five times as fast as bytes.count.
    return int(np.count_nonzero(np.frombuffer(text, np.uint8) == byte[0]))


def _number(field: str, name: str, kind: type) -> Any:
    text = field.strip().strip('"').strip()
    try:
        if kind is np.int64:
            value = int(text)
            if abs(value) > 2**62:
                raise ValueError
            return value
        return float(text) if text else np.nan
    except ValueError:
        wanted = "an integer" if kind is np.int64 else "a number"
        raise ValueError(f"'{name}' is {text[:40]!r}, expected {wanted}") from None


def _find_columns(path: Path, header: list[str], wanted: Mapping[str, Column]) -> dict[str, int]:
    """Place of each wanted column in the header."""
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise DataError(f"column '{twice[0]}' occurs twice", path=path, row=1, advice="Rename or remove one.")
    places: dict[str, int] = {}
    for name, column in wanted.items():
        found = [spelling for spelling in column.names if spelling in header]
        if len(found) > 1:
            raise DataError(f"has both '{found[0]}' and '{found[1]}'", path=path, row=1, advice="Remove one of them.")
        if found:
            places[name] = header.index(found[0])
        elif column.required:
            spelled = " or ".join(f"'{spelling}'" for spelling in column.names)
            raise DataError(
                f"no column {spelled}{near_miss(column.names[0], header)}", path=path, row=1,
                advice="Rename the column in the header; the file is left out.",
            )  # fmt: skip
    return places
