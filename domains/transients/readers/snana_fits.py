"""SNANA FITS light curves: a HEAD table with one row an object that points into a PHOT table of observations."""

import math
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from armillary.core.errors import DataError
from armillary.domains.transients.readers.fits_table import FitsTable, open_table
from armillary.domains.transients.readers.records import DETECTION_SNR, Record, known_bands, known_survey, or_nan
from armillary.domains.transients.readers.report import Report
from armillary.domains.transients.readers.snana_text import type_name

FORMAT = "snana_fits"
SEPARATOR_MJD = -777.0  # SNANA's row between two objects
# HEAD columns that may enter (the first spelling found counts); SIM_* columns hold the answers and are never read.
PROPERTIES = {
    "ra": ("RA",), "dec": ("DEC", "DECL"), "mwebv": ("MWEBV",),
    "redshift": ("HOSTGAL_PHOTOZ", "HOSTGAL_ZPHOT"), "redshift_error": ("HOSTGAL_PHOTOZ_ERR", "HOSTGAL_ZPHOT_ERR"),
    "redshift_spec": ("REDSHIFT_SPEC", "HOSTGAL_SPECZ"),
}  # fmt: skip
OBSERVATIONS = {"time": ("MJD",), "flux": ("FLUXCAL",), "flux_error": ("FLUXCALERR",)}


@dataclass(frozen=True)
class _Pair:
    """The wanted columns of both tables."""

    head: Path
    phot: Path
    survey: str
    names: list[str]
    types: list[str]
    pointers: dict[str, Shaped[np.ndarray, " objects"]]
    properties: dict[str, np.ndarray]
    observations: dict[str, Shaped[np.ndarray, " rows"]]
    bands: Shaped[np.ndarray, " rows"]


def read_snana_fits(head: Path, phot: Path, report: Report) -> Iterator[Record]:
    """The objects of a HEAD/PHOT pair, plain or compressed; objects whose pointers disagree with PHOT are reported."""
    with ExitStack() as stack:
        pair = _columns(head, open_table(head, stack), phot, open_table(phot, stack))
        end = 0
        for number, name in enumerate(pair.names):
            try:
                start, stop = _range(pair, number, end)
            except ValueError as error:
                report(
                    DataError(
                        f"{error}: HEAD and PHOT disagree", path=head, item=name, row=number + 1,
                        advice=f"The object is left out. Check that {phot.name} is of the same version.",
                    )
                )  # fmt: skip
                continue
            end = stop
            yield _record(pair, number, slice(start, stop), report)


def _columns(head: Path, objects: FitsTable, phot: Path, photometry: FitsTable) -> _Pair:
    declared = str(objects.header.get("PHOTFILE", "")).strip().removesuffix(".gz")
    if declared and declared != phot.name.removesuffix(".gz"):
        raise DataError(
            f"names '{declared}' as its PHOT file, but lies beside '{phot.name}'", path=head,
            advice="HEAD and PHOT disagree: give the two files of one pair.",
        )  # fmt: skip
    names = [_text(value) for value in objects.texts(("SNID",))]
    codes = objects.optional(("SNTYPE",))
    survey = known_survey(str(objects.header.get("SURVEY", "")), str(head))
    return _Pair(
        head, phot, survey, names,
        types=[type_name(str(int(code)), survey) for code in codes] if len(codes) else [""] * len(names),
        pointers={name: objects.numbers((name,)) for name in ("NOBS", "PTROBS_MIN", "PTROBS_MAX")},
        properties={name: objects.optional(spellings) for name, spellings in PROPERTIES.items()},
        observations={name: photometry.numbers(spellings) for name, spellings in OBSERVATIONS.items()},
        bands=photometry.texts(("BAND", "FLT")),
    )  # fmt: skip


def _range(pair: _Pair, number: int, end: int) -> tuple[int, int]:
    """Rows of PHOT that belong to an object; pointers count from 1 and include both ends."""
    count, first, last = (int(pair.pointers[name][number]) for name in ("NOBS", "PTROBS_MIN", "PTROBS_MAX"))
    rows = len(pair.bands)
    if not 1 <= first <= last + 1 <= rows + 1:
        raise ValueError(f"it points at rows {first} to {last}, but PHOT has {rows} rows")
    if last - first + 1 != count:
        raise ValueError(f"NOBS is {count}, but it points at {last - first + 1} rows")
    if first <= end:
        raise ValueError(f"it points at row {first}, which belongs to an earlier object")
    if (pair.observations["time"][first - 1 : last] == SEPARATOR_MJD).any():
        raise ValueError(f"rows {first} to {last} run across the end of an object")
    return first - 1, last


def _record(pair: _Pair, number: int, rows: slice, report: Report) -> Record:
    name = pair.names[number]
    lines = np.arange(rows.start, rows.stop, dtype=np.int64) + 1
    bands = [_text(value).rsplit("-", 1)[-1] for value in pair.bands[rows]]
    index = known_bands(bands, pair.survey, (str(pair.phot), name), lines, report)
    keep = index >= 0
    time, flux, flux_error = (pair.observations[key][rows].astype(np.float64)[keep] for key in OBSERVATIONS)
    properties = {key: float(column[number]) if len(column) else math.nan for key, column in pair.properties.items()}
    for key in ("mwebv", "redshift", "redshift_error", "redshift_spec"):
        properties[key] = or_nan(properties[key])
    return Record(
        object_id=name, format=FORMAT, survey=pair.survey, path=str(pair.phot), source=str(pair.head),
        time=time, band_index=index[keep], flux=flux, flux_error=flux_error,
        detected=flux >= DETECTION_SNR * flux_error, row=lines[keep],
        label=pair.types[number], **properties,
    )  # fmt: skip


def _text(value: bytes | str) -> str:
    return (value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)).strip()
