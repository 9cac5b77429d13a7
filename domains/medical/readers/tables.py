"""Tables of data sets in CSV, row by row, and what their cells mean; what is wrong with one is told with its place."""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

from armillary.core.domain import Split
from armillary.core.errors import DataError
from armillary.domains.medical.studies import NAN, Sex

Row = dict[str, str]
_OLDEST_YEARS = 120.0
_SPLITS: Mapping[str, Split] = {
    "train": "train", "training": "train", "val": "validation", "valid": "validation", "validation": "validation",
    "dev": "validation", "test": "test",
}  # fmt: skip
_YEARS = {"": 1.0, "Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}


def read_table(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, Row]]:
    """(number of the row as an editor shows it, its cells by column); short rows have empty cells.

    A name in the header that holds a comma without quotes counts as two columns, as the rows below it have them.

    Raises:
        DataError: no text in UTF-8, nothing at all, or a column that is not there.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, restval="", skipinitialspace=True)
            if not reader.fieldnames:
                raise DataError("is empty", path=path, advice=f"Expected the columns {', '.join(columns)}.")
            missing = [name for name in columns if name not in reader.fieldnames]
            if missing:
                raise DataError(
                    f"has no column {', '.join(missing)}; it has {', '.join(reader.fieldnames)}",
                    path=path, row=1, advice=f"Expected the columns {', '.join(columns)}.",
                )  # fmt: skip
            for cells in reader:
                yield reader.line_num, {name: cell.strip() for name, cell in cells.items() if isinstance(cell, str)}
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", path=path, advice="Check the path.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"is no table in CSV ({error})", path=path, advice="Save it as CSV in UTF-8.") from error


def header_of(path: Path) -> tuple[str, ...]:
    """The columns of a table; none where it is empty.

    Raises:
        DataError: it cannot be read as CSV.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            return tuple(next(csv.reader(stream, skipinitialspace=True), ()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"is no table in CSV ({error})", path=path, advice="Save it as CSV in UTF-8.") from error


def inside(root: Path, text: str) -> Path:
    """`root` / the relative path in a cell.

    Raises:
        DataError: no path, or one that leads out of the root.
    """
    relative = PurePosixPath(PureWindowsPath(text).as_posix())
    outside = relative.is_absolute() or ".." in relative.parts or PureWindowsPath(text).drive or "\0" in text
    if outside or not relative.parts:
        raise DataError(f"'{text}' is no path below {root}", advice="Expected a relative path.")
    return root / relative


def number_of(text: str, column: str, item: str) -> float:
    """The number in a cell; NaN for an empty one.

    Raises:
        DataError: it holds something else.
    """
    try:
        return float(text or "nan")
    except ValueError:
        raise DataError(f"{column} is '{text}'; expected a number", item=item, advice="The row is left out.") from None


def sex_of(text: str) -> Sex:
    """F or M by the first letter; "" for anything else."""
    first = text[:1].upper()
    if first == "F":
        return "F"
    return "M" if first == "M" else ""


def age_of(text: str) -> float:
    """Years in "57", "058Y", "011M", "02W" or "010D"; NaN for anything else and beyond 120 years."""
    match = re.fullmatch(r"(\d{1,6}(?:\.\d*)?)([YMWD]?)", text.strip().upper(), re.ASCII)
    years = float(match[1]) * _YEARS[match[2]] if match else NAN
    return years if years <= _OLDEST_YEARS else NAN


def split_of(text: str, item: str) -> Split:
    """The split that a cell names.

    Raises:
        DataError: it names none.
    """
    split = _SPLITS.get(text.lower())
    if split is None:
        advice = "The image is left out."
        raise DataError(f"is in the split '{text}'; expected train, validation or test", item=item, advice=advice)
    return split
