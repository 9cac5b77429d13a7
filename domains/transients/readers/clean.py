"""From rows as files give them to rows that keep the schema: sorted, finite, positive errors, no repeats."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from astropy import units
from astropy.coordinates import Angle
from jaxtyping import Bool, Float64, Int64

from armillary.core.errors import DataError
from armillary.domains.transients.lightcurves import OBJECT_TYPES, OBSERVATION_TYPES, LightCurves
from armillary.domains.transients.readers.report import Report


@dataclass(frozen=True)
class Places:
    """Where objects and rows were read: the path of each object, the line of each row."""

    paths: Sequence[str]
    rows: Int64[np.ndarray, " rows"]


def clean(curves: LightCurves, places: Places, report: Report) -> LightCurves:
    """The usable observations, sorted by time within each object; what is dropped is reported once per object.

    Exact repeats of a row are dropped and only counted, in the attribute `repeated_rows`. An object without a usable
    observation is left out. A position off the sphere becomes unknown.
    """
    owner = np.repeat(np.arange(len(curves)), curves.row_size)
    usable = np.isfinite(curves.time) & np.isfinite(curves.flux) & np.isfinite(curves.flux_error)
    usable &= curves.flux_error > 0
    _report_unusable(curves, places, owner, ~usable, report)
    keep = _time_order(owner, curves.time, np.flatnonzero(usable))
    unique = _first_of_repeats(curves, owner, keep)
    repeated = len(keep) - len(unique)
    observed = {name: getattr(curves, name)[unique] for name in OBSERVATION_TYPES}
    sizes = np.bincount(owner[unique], minlength=len(curves)).astype(np.int64)
    ra, dec = valid_positions(curves.ra, curves.dec, curves.object_id, places, report)
    attrs = {**curves.attrs, "repeated_rows": repeated}
    cleaned = replace(curves, **observed, row_size=sizes, ra=ra, dec=dec, attrs=attrs)
    return _without_empty(cleaned, curves.row_size, places, report)


def _report_unusable(
    curves: LightCurves,
    places: Places,
    owner: Int64[np.ndarray, " rows"],
    bad: Bool[np.ndarray, " rows"],
    report: Report,
) -> None:
    rows = np.flatnonzero(bad)
    objects, first, counts = np.unique(owner[rows], return_index=True, return_counts=True)
    counted: Any = (objects.tolist(), rows[first].tolist(), counts.tolist())
    for number, row, count in zip(*counted, strict=True):
        report(
            DataError(
                f"{count} of {curves.row_size[number]} observations have no finite time, flux and positive error "
                f"(first: flux {curves.flux[row]:g}, error {curves.flux_error[row]:g})",
                path=str(places.paths[number]), item=str(curves.object_id[number]), row=int(places.rows[row]),
                advice="They are dropped. Correct them in the file if they are not meant as missing.",
            )
        )  # fmt: skip


def _time_order(
    owner: Int64[np.ndarray, " rows"], time: Float64[np.ndarray, " rows"], rows: Int64[np.ndarray, " kept"]
) -> Int64[np.ndarray, " kept"]:
    """The rows in order of object and time; rows of one time keep their order."""
    kept_owner, kept_time = owner[rows], time[rows]
    falls = (np.diff(kept_time) < 0) & (np.diff(kept_owner) == 0)
    return rows[np.lexsort((kept_time, kept_owner))] if falls.any() else rows


def _first_of_repeats(
    curves: LightCurves, owner: Int64[np.ndarray, " rows"], rows: Int64[np.ndarray, " kept"]
) -> Int64[np.ndarray, " unique"]:
    """The rows without exact repeats (same object, time, band, flux, error and flag)."""
    tied = (np.diff(owner[rows]) == 0) & (np.diff(curves.time[rows]) == 0)
    if not tied.any():
        return rows
    suspects = np.flatnonzero(np.append(tied, False) | np.insert(tied, 0, False))
    values = [owner, *(getattr(curves, name) for name in OBSERVATION_TYPES)]
    table = np.stack([value[rows[suspects]].astype(np.float64) for value in values], 1)
    _, first = np.unique(table, axis=0, return_index=True)
    return np.delete(rows, np.setdiff1d(suspects, suspects[first]))


def valid_positions(
    ra: Float64[np.ndarray, " n"], dec: Float64[np.ndarray, " n"], names: np.ndarray, places: Places, report: Report
) -> tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, " n"]]:
    """Sky positions [deg] with NaN where right ascension leaves 0..360 or declination -90..90."""
    right, height = np.asarray(Angle(ra, units.deg)), np.asarray(Angle(dec, units.deg))
    inside = (right >= 0) & (right <= 360) & (np.abs(height) <= 90)
    wrong = ~(inside | (np.isnan(ra) & np.isnan(dec)))
    for number in np.flatnonzero(wrong).tolist():
        report(
            DataError(
                f"the position ra {ra[number]:g}, dec {dec[number]:g} deg is not on the sky; "
                "expected 0..360 and -90..90",
                path=places.paths[number], item=str(names[number]),
                advice="It is taken as unknown. Give degrees, and check that ra and dec are not exchanged.",
            )
        )  # fmt: skip
    return np.where(wrong, np.nan, ra), np.where(wrong, np.nan, dec)


def _without_empty(curves: LightCurves, given: Int64[np.ndarray, " n"], places: Places, report: Report) -> LightCurves:
    empty = curves.row_size == 0
    for number in np.flatnonzero(empty).tolist():
        report(
            DataError(
                f"none of its {given[number]} observations can be used",
                path=places.paths[number], item=str(curves.object_id[number]),
                advice="The object is left out.",
            )
        )  # fmt: skip
    if not empty.any():
        return curves
    kept = {name: getattr(curves, name)[~empty] for name in ("object_id", *OBJECT_TYPES)}
    return replace(curves, **kept)
