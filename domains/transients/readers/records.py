"""One parsed object, and how many of them become a chunk."""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int, Int64

from armillary.core.errors import DataError
from armillary.domains.transients.bands import alias_table, band_names, survey_bands, wavelengths
from armillary.domains.transients.lightcurves import MJD, OBJECT_TYPES, OBSERVATION_TYPES, ZERO_POINT, LightCurves
from armillary.domains.transients.readers.clean import Places, clean
from armillary.domains.transients.readers.report import Report

DETECTION_SNR = 5.0  # a point counts as a detection from here on where the file has no flag


@dataclass(frozen=True)
class Record:
    """One object as its file gives it: rows may be unsorted, repeated or unusable, bands are known.

    time in MJD [d]; flux and error in FLUXCAL; row: line of each observation in the file; path: as messages show it;
    source: the file on disk. What is unknown is NaN or "".
    """

    object_id: str
    format: str
    survey: str
    path: str
    source: str
    time: Float[np.ndarray, " rows"]
    band_index: Int[np.ndarray, " rows"]
    flux: Float[np.ndarray, " rows"]
    flux_error: Float[np.ndarray, " rows"]
    detected: Bool[np.ndarray, " rows"]
    row: Int64[np.ndarray, " rows"]
    ra: float = math.nan
    dec: float = math.nan
    redshift: float = math.nan
    redshift_error: float = math.nan
    redshift_spec: float = math.nan
    mwebv: float = math.nan
    label: str = ""


def chunks(records: Iterable[Record], size: int, report: Report) -> Iterator[xr.Dataset]:
    """Datasets of at most `size` objects; a change of format or survey begins a new one."""
    for _, group in groupby(records, key=lambda record: (record.format, record.survey)):
        while batch := list(islice(group, size)):
            curves, places = assemble(batch)
            curves = clean(curves, places, report)
            if len(curves):
                yield curves.to_dataset()


def assemble(records: Sequence[Record]) -> tuple[LightCurves, Places]:
    """Records of one survey as arrays, uncleaned, and the place of each row in its file."""
    first = records[0]
    sizes = np.array([len(record.time) for record in records], np.int64)
    with np.errstate(over="ignore"):  # a flux beyond float32 becomes infinite, and clean() reports it
        observed = {
            name: np.concatenate([getattr(record, name) for record in records]).astype(kind)
            for name, kind in OBSERVATION_TYPES.items()
        }
        objects = {
            name: np.array([getattr(record, name) for record in records], kind)
            for name, kind in OBJECT_TYPES.items()
            if name != "row_size"
        }
    names = band_names(first.survey)
    curves = LightCurves(
        object_id=np.array([record.object_id for record in records], np.str_),
        band=names,
        wavelength=wavelengths(names),
        row_size=sizes,
        **observed,
        **objects,
        time_reference=MJD,
        attrs=attributes(first.format, first.survey, [record.source for record in records]),
    )
    rows = np.concatenate([record.row for record in records])
    return curves, Places([record.path for record in records], rows)


def attributes(format_name: str, survey: str, sources: Sequence[str]) -> dict[str, object]:
    """Attributes of a freshly read chunk."""
    return {
        "format": format_name,
        "sources": json.dumps(list(dict.fromkeys(sources))),
        "zero_point": ZERO_POINT,
        "extinction_corrected": "no",
        "survey": survey,
    }


def known_bands(
    texts: Sequence[str],
    survey: str,
    place: tuple[str, str],
    rows: Int64[np.ndarray, " rows"],
    report: Report,
) -> Int[np.ndarray, " rows"]:
    """Place of each band name in the survey's list, -1 for unknown ones, which are reported once.

    place: path and object id for the message.
    """
    table = alias_table(survey)
    index = np.array([table.get(text, -1) for text in texts], np.int64)
    bad = np.flatnonzero(index < 0)
    if bad.size:
        report(unknown_band(texts[int(bad[0])], survey, int(bad.size), len(texts), place, int(rows[bad[0]])))
    return index


def unknown_band(name: str, survey: str, count: int, total: int, place: tuple[str, str], row: int) -> DataError:
    """What to say of observations in a band that is not in the table."""
    allowed = ", ".join(f"{band.name} ({', '.join(band.aliases)})" for band in survey_bands(survey))
    return DataError(
        f"{count} of {total} observations are in an unknown band, first '{name}'; {survey} has {allowed}",
        path=place[0], item=place[1], row=row,
        advice="They are dropped. Rename the band in the file, or add it to armillary.domains.transients.bands.",
    )  # fmt: skip


def known_survey(name: str, path: str) -> str:
    """Our name of a survey that a file names."""
    words = name.strip().lower()
    for survey in ("lsst", "des", "ztf"):
        if words.startswith(survey):
            return survey
    raise DataError(
        f"is of survey '{name.strip()}', whose bands are not known; the table has LSST, DES, ZTF",
        path=path,
        advice="Set SURVEY in the file's header, or add the survey to armillary.domains.transients.bands.",
    )


def or_nan(value: float) -> float:
    """The value, or NaN for the surveys' mark of an unknown redshift or extinction (-9 and other negatives)."""
    return value if value >= 0 else math.nan
