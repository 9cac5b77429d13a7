"""Tables of data sets in CSV, row by row; what is wrong with one is told with its place."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from armillary.core.errors import DataError

Row = dict[str, str]


def read_table(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, Row]]:
    """(number of the row as an editor shows it, its cells by column); short rows have empty cells.

    Raises:
        DataError: no text in UTF-8, nothing at all, or a column that is not there.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, restval="")
            if not reader.fieldnames:
                raise DataError("is empty", path=path, advice=f"Expected the columns {', '.join(columns)}.")
            missing = [name for name in columns if name not in reader.fieldnames]
            if missing:
                raise DataError(
                    f"has no column {', '.join(missing)}; it has {', '.join(reader.fieldnames)}",
                    path=path, row=1, advice=f"Expected the columns {', '.join(columns)}.",
                )  # fmt: skip
            for cells in reader:
                yield reader.line_num, {name: cell for name, cell in cells.items() if isinstance(cell, str)}
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", path=path, advice="Check the path.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"is no table in CSV ({error})", path=path, advice="Save it as CSV in UTF-8.") from error


def number(path: Path, row: int, cells: Row, column: str) -> float:
    """The finite number in a cell.

    Raises:
        DataError: it holds none.
    """
    text = cells.get(column, "")
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) < float("inf"):
        raise DataError(f"{column} is '{text}'; expected a number", path=path, row=row)
    return value


def inside(root: Path, path: Path, row: int, text: str) -> Path:
    """`root` / the relative path in a cell.

    Raises:
        DataError: no path, or one that leads out of the root.
    """
    relative = PurePosixPath(text)
    if not text or relative.is_absolute() or ".." in relative.parts or "\0" in text:
        raise DataError(f"'{text}' is no path below {root}", path=path, row=row, advice="Expected a relative path.")
    return root / relative
