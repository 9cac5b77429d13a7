"""Light curves of the ZTF Bright Transient Survey as the ANTARES broker gives them: one CSV file an object."""

from collections.abc import Mapping
from pathlib import PurePosixPath

import numpy as np

from armillary.core.errors import DataError, near_miss
from armillary.domains.transients.readers.archives import Document
from armillary.domains.transients.readers.records import Record, known_bands
from armillary.domains.transients.readers.report import Report
from armillary.domains.transients.readers.tables import BtsRow, parse_number
from armillary.domains.transients.units import flux_from_magnitude

FORMAT = "ztf_bts"
SURVEY = "ztf"
COLUMNS = ("ant_mjd", "ant_passband", "ant_mag", "ant_magerr")


def parse_bts(document: Document, table: Mapping[str, BtsRow], report: Report) -> Record:
    """The object of one file, named after it; its metadata come from the survey's table.

    Rows are detections. Their magnitudes become FLUXCAL with first-order errors.
    """
    object_id = PurePosixPath(document.name.replace("\\", "/").rsplit(":", 1)[-1]).name.split(".")[0]
    numbers, bands, lines = _rows(document, object_id, report)
    index = known_bands(bands, SURVEY, (document.name, object_id), lines, report)
    keep = index >= 0
    flux, flux_error = flux_from_magnitude(numbers[keep, 1], numbers[keep, 2])
    known = table.get(object_id)
    properties = {} if known is None else vars(known)
    return Record(
        object_id=object_id, format=FORMAT, survey=SURVEY, path=document.name, source=document.source,
        time=numbers[keep, 0], band_index=index[keep], flux=flux, flux_error=flux_error,
        detected=np.ones(int(keep.sum()), np.bool_), row=lines[keep], **properties,
    )  # fmt: skip


def _rows(document: Document, object_id: str, report: Report) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Numbers (rows, 3) of time, magnitude and error, names of bands, and line of each row."""
    try:
        text = document.data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"is not UTF-8 text ({error.reason} at byte {error.start})", path=document.name, item=object_id,
            advice="Save the file as UTF-8.",
        ) from error  # fmt: skip
    lines = text.split("\n")
    header = [name.strip().strip('"') for name in lines[0].split(",")]
    for name in COLUMNS:
        if name not in header:
            raise DataError(
                f"no column '{name}'{near_miss(name, header)}", path=document.name, item=object_id, row=1,
                advice="Rename the column in the header; the file is left out.",
            )  # fmt: skip
    return _values(lines, header, document.name, object_id, report)


def _values(
    lines: list[str], header: list[str], path: str, object_id: str, report: Report
) -> tuple[np.ndarray, list[str], np.ndarray]:
    time, band, magnitude, error = (header.index(name) for name in COLUMNS)
    numbers: list[list[float]] = []
    bands: list[str] = []
    rows: list[int] = []
    bad: list[tuple[int, str]] = []
    for row, line in enumerate(lines[1:], 2):
        if not line.strip():
            continue
        fields = line.split(",")
        try:
            if len(fields) != len(header):
                raise ValueError(f"the row has {len(fields)} fields, expected {len(header)}")
            numbers.append([parse_number(fields[place]) for place in (time, magnitude, error)])
        except ValueError as problem:
            bad.append((row, str(problem)))
            continue
        bands.append(fields[band].strip())
        rows.append(row)
    if bad:
        report(
            DataError(
                f"{len(bad)} of {len(bad) + len(rows)} rows cannot be read, first: {bad[0][1]}", path=path,
                item=object_id, row=bad[0][0], advice="They are dropped; correct or remove them.",
            )
        )  # fmt: skip
    return np.array(numbers, np.float64).reshape(-1, 3), bands, np.array(rows, np.int64)
