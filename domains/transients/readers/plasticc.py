"""PLAsTiCC light-curve tables, in the Kaggle and in the Zenodo layout, of any size."""

from collections import deque
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import xarray as xr

from armillary.core.errors import DataError
from armillary.domains.transients.bands import band_names, wavelengths
from armillary.domains.transients.lightcurves import MJD, RELATIVE, LightCurves
from armillary.domains.transients.readers.blocks import BLOCK_BYTES, Block, Column, read_blocks
from armillary.domains.transients.readers.clean import Places, clean
from armillary.domains.transients.readers.grouping import WINDOW_ROWS, ObjectBuffer, run_starts, take
from armillary.domains.transients.readers.plasticc_metadata import Metadata
from armillary.domains.transients.readers.records import attributes, unknown_band
from armillary.domains.transients.readers.report import Report

FORMAT = "plasticc"
SURVEY = "lsst"
EARLIEST_MJD = 10_000.0  # 1886; smaller times count days from each object's first observation

# The columns that may enter. Whatever else a table has is never read.
COLUMNS = {
    "object_id": Column(("object_id",), np.int64),
    "time": Column(("mjd",), np.float64),
    "passband": Column(("passband",), np.int64),
    "flux": Column(("flux",), np.float32),
    "flux_error": Column(("flux_err",), np.float32),
    "detected": Column(("detected", "detected_bool"), np.int64),
}


def read_plasticc(
    path: Path,
    metadata: Metadata,
    chunk_items: int,
    report: Report,
    window: int = WINDOW_ROWS,
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[xr.Dataset]:
    """Chunks of a light-curve table, whose rows may be unsorted within `window`; memory is bounded by it.

    `mjd` may be absolute or, as in some excerpts, count days from each object's first row.
    """
    reference = ""
    for table in _whole_objects(path, report, window, block_bytes):
        reference = reference or _time_reference(table)
        for part in _parts(_known_bands(table, path, report), chunk_items):
            curves = _curves(part, path, metadata, reference)
            curves = clean(curves, Places([str(path)] * len(curves), part.rows), report)
            if len(curves):
                yield curves.to_dataset()
    metadata.report_missing(path, report)


def _whole_objects(path: Path, report: Report, window: int, block_bytes: int) -> Iterator[Block]:
    """Tables that hold all rows of their objects, sorted by object.

    A table whose beginning is out of order is first read through once for its ids, so that no object of a table that
    cannot be put in order is given out in part.
    """
    buffer, checked = ObjectBuffer(path, window), False
    try:
        for block in read_blocks(path, COLUMNS, report, block_bytes):
            for table in buffer.push(block):
                if buffer.disordered and not checked:
                    _check_order(buffer, path, window, block_bytes)
                checked = True
                yield table
        yield from buffer.rest()
    except DataError as error:
        report(error)
        # What was whole before the damage is still of use.
        yield from buffer.rest(without_last=True)


def _check_order(buffer: ObjectBuffer, path: Path, window: int, block_bytes: int) -> None:
    """Empty the buffer and raise DataError when some object's rows lie too far apart."""
    trial = ObjectBuffer(path, window)
    try:
        for block in read_blocks(path, {"object_id": COLUMNS["object_id"]}, lambda _: None, block_bytes):
            deque(trial.push(block), maxlen=0)
        deque(trial.rest(), maxlen=0)
    except DataError:
        buffer.clear()
        raise


def _time_reference(table: Block) -> str:
    times = table.columns["time"]
    finite = times[np.isfinite(times)]
    return RELATIVE if finite.size and finite.max() < EARLIEST_MJD else MJD


def _known_bands(table: Block, path: Path, report: Report) -> Block:
    """The rows whose passband is in the table of bands; the others are reported once per object."""
    bands, ids = table.columns["passband"], table.columns["object_id"]
    known = (bands >= 0) & (bands < len(band_names(SURVEY)))
    if known.all():
        return table
    bad = np.flatnonzero(~known)
    objects, first, counts = np.unique(ids[bad], return_index=True, return_counts=True)
    for name, row, count in zip(objects, bad[first], counts, strict=True):
        total = int((ids == name).sum())
        place = (str(path), str(name))
        report(unknown_band(str(bands[row]), SURVEY, int(count), total, place, int(table.rows[row])))
    return take(table, known)


def _parts(table: Block, size: int) -> Iterator[Block]:
    """The table's objects, at most `size` at a time."""
    starts = run_starts(table.columns["object_id"])
    cuts = [*starts[::size].tolist(), len(table.rows)]
    for start, stop in pairwise(cuts):
        yield take(table, slice(start, stop))


def _curves(table: Block, path: Path, metadata: Metadata, reference: str) -> LightCurves:
    """The table's objects with their metadata, uncleaned."""
    columns, names = table.columns, band_names(SURVEY)
    starts = run_starts(columns["object_id"])
    ids = columns["object_id"][starts]
    return LightCurves(
        object_id=ids.astype(np.str_),
        band=names,
        wavelength=wavelengths(names),
        time=columns["time"],
        band_index=columns["passband"].astype(np.int8),
        flux=columns["flux"],
        flux_error=columns["flux_error"],
        detected=columns["detected"] == 1,
        row_size=np.diff(np.append(starts, len(table.rows))).astype(np.int64),
        **metadata.look_up(ids),
        time_reference=reference,
        attrs=attributes(FORMAT, SURVEY, [str(path)]) | {"metadata": metadata.name},
    )
