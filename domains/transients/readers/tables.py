"""Small tables of labels that lie beside light curves: one row an object, allowed columns only."""

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy import units
from astropy.coordinates import Angle

from armillary.core.errors import DataError, near_miss
from armillary.domains.transients.readers.archives import read_small
from armillary.domains.transients.readers.records import or_nan
from armillary.domains.transients.readers.report import Report

TOTAL_TO_SELECTIVE = 3.1  # A_V = 3.1 E(B-V)


@dataclass(frozen=True)
class BtsRow:
    """What the table of the Bright Transient Survey may say of an object: its peak and duration columns are answers."""

    label: str
    ra: float
    dec: float
    redshift_spec: float
    mwebv: float


def read_types(path: Path, report: Report) -> dict[str, str]:
    """Object id -> true type from the label table that comes with SPCC (columns snid, true_type)."""
    return {row["snid"]: row["true_type"] for _, row in _rows(path, ("snid", "true_type"), report)}


def read_bts_table(path: Path, report: Report) -> dict[str, BtsRow]:
    """Object id -> label, position, spectroscopic redshift and E(B-V) = A_V / 3.1 from a BTS table.

    Numbers may be '-' or empty for unknown.
    """
    wanted = ("ZTFID", "RA", "Dec", "type", "redshift", "A_V")
    rows = {row["ZTFID"]: (line, row) for line, row in _rows(path, wanted, report)}
    ra = _degrees([row["RA"] for _, row in rows.values()], units.hourangle)
    dec = _degrees([row["Dec"] for _, row in rows.values()], units.deg)
    table: dict[str, BtsRow] = {}
    for (name, (line, row)), right, height in zip(rows.items(), ra, dec, strict=True):
        numbers: dict[str, float] = {}
        for column in ("redshift", "A_V"):
            try:
                numbers[column] = or_nan(parse_number(row[column]))
            except ValueError:
                numbers[column] = math.nan
                report(
                    DataError(
                        f"'{column}' is {row[column][:40]!r}, expected a number or '-'", path=path, item=name, row=line,
                        advice="It is taken as unknown; correct the table.",
                    )
                )  # fmt: skip
        label = "" if row["type"] == "-" else row["type"]
        table[name] = BtsRow(label, right, height, numbers["redshift"], numbers["A_V"] / TOTAL_TO_SELECTIVE)
    return table


def parse_number(text: str) -> float:
    """A number as BTS tables write it: '-' or nothing is NaN; a bound such as '>12.3' is its limit."""
    bare = text.strip().lstrip("<>").strip()
    return math.nan if bare in ("", "-") else float(bare)


def _degrees(texts: list[str], unit: units.UnitBase) -> list[float]:
    """Sexagesimal (or decimal) angles [deg], NaN where one cannot be read."""
    if not texts:
        return []
    try:
        return np.asarray(Angle(texts, unit).to_value(units.deg), np.float64).tolist()
    except ValueError:
        return [_degree(text, unit) for text in texts]


def _degree(text: str, unit: units.UnitBase) -> float:
    try:
        return float(np.asarray(Angle(text, unit).to_value(units.deg)))
    except (ValueError, TypeError):
        return math.nan


def _rows(path: Path, wanted: tuple[str, ...], report: Report) -> Iterator[tuple[int, dict[str, str]]]:
    """Line and wanted fields of each row; short rows are reported and left out."""
    try:
        text = read_small(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"is not UTF-8 text ({error.reason} at byte {error.start})", path=path, advice="Save the table as UTF-8."
        ) from error
    reader = csv.reader(text.splitlines(), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        for name in wanted:
            if name not in header:
                raise DataError(f"no column '{name}'{near_miss(name, header)}", path=path, row=1, advice="Rename it.")
        places = {name: header.index(name) for name in wanted}
        for fields in reader:
            if len(fields) == len(header):
                yield reader.line_num, {name: fields[place].strip() for name, place in places.items()}
            elif fields:
                report(
                    DataError(
                        f"the row has {len(fields)} fields, expected {len(header)}", path=path, row=reader.line_num,
                        advice="The row is left out; correct it.",
                    )
                )  # fmt: skip
    except csv.Error as error:
        raise DataError(
            f"is not a CSV table: {error}", path=path, row=reader.line_num, advice="Check quotes and separators."
        ) from error
