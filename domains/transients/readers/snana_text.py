"""SNANA text light curves: one object a file, `KEY: value` header, `OBS:` rows, `END:`."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from armillary.core.errors import DataError, near_miss
from armillary.domains.transients.readers.archives import Document
from armillary.domains.transients.readers.records import DETECTION_SNR, Record, known_bands, known_survey, or_nan
from armillary.domains.transients.readers.report import Report

FORMAT = "snana_text"
# Header keys that may enter. SIM_* lines hold the answers and are never parsed.
KEYS = (
    b"SURVEY", b"SNID", b"SNTYPE", b"RA", b"DECL", b"DEC", b"MWEBV", b"REDSHIFT_FINAL", b"REDSHIFT_SPEC",
    b"HOST_GALAXY_PHOTO-Z", b"NOBS", b"VARLIST",
)  # fmt: skip
_HEADER = re.compile(rb"^(" + b"|".join(re.escape(key) for key in KEYS) + rb")[ \t]*:[ \t]*([^\r\n]*)", re.M)
# Wanted columns of VARLIST: ours -> theirs.
COLUMNS = {"time": ("MJD",), "band": ("FLT", "BAND"), "flux": ("FLUXCAL",), "flux_error": ("FLUXCALERR",)}
# Spectroscopic types of the DES simulation (SPCC); other surveys' codes stay numbers.
DES_TYPES = {
    1: "Ia", 2: "II", 21: "IIn", 22: "IIP", 23: "IIL", 3: "Ibc", 32: "Ib", 33: "Ic",
}  # fmt: skip
NUMBERS = ("time", "flux", "flux_error")
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


@dataclass(frozen=True)
class _Rows:
    """The observations as written: numbers time, flux, error; names of bands; line of each row."""

    numbers: Float64[np.ndarray, "3 rows"]
    bands: list[bytes]
    line: Int64[np.ndarray, " rows"]


@dataclass(frozen=True)
class _Body:
    """The text between VARLIST and END, and what is needed to read it."""

    text: bytes
    first_line: int
    places: Mapping[str, int]  # of our columns among the words after OBS:
    width: int
    path: str
    item: str


def parse_snana(document: Document, labels: Mapping[str, str], report: Report) -> Record:
    """The object of one file; its label comes from `labels` (object id -> type) and else from SNTYPE.

    Raises DataError when the file as a whole cannot be trusted: header incomplete, rows missing, no END.
    """
    header, start = _header(document)
    survey = known_survey(header["SURVEY"], document.name)
    object_id = header["SNID"].split()[0]
    rows = _rows(_body(document, header, start, object_id), report)
    # Long band names, such as DES-g, end in the filter.
    bands = [name.decode("ascii", "replace").rsplit("-", 1)[-1] for name in rows.bands]
    index = known_bands(bands, survey, (document.name, object_id), rows.line, report)
    keep = index >= 0
    time, flux, flux_error = rows.numbers[:, keep]
    return Record(
        object_id=object_id, format=FORMAT, survey=survey, path=document.name, source=document.source,
        time=time, band_index=index[keep], flux=flux, flux_error=flux_error,
        detected=flux >= DETECTION_SNR * flux_error, row=rows.line[keep],
        label=labels.get(object_id) or type_name(header.get("SNTYPE", ""), survey), **_properties(header),
    )  # fmt: skip


def type_name(code: str, survey: str) -> str:
    """Name of a spectroscopic type in DES, the number elsewhere, "" for unknown (-9, 0, no number)."""
    words = code.split()
    try:
        number = int(words[0]) if words else 0
    except ValueError:
        number = 0
    if number <= 0:
        return ""
    return DES_TYPES.get(number, str(number)) if survey == "des" else str(number)


def _header(document: Document) -> tuple[dict[str, str], int]:
    """Allowed keys of the header, and where the observations begin."""
    found = re.search(rb"^VARLIST[ \t]*:[^\n]*\n?", document.data, re.M)
    if not found:
        raise DataError(
            "has no VARLIST line, so its columns are unknown", path=document.name,
            advice="Check that it is a whole SNANA light-curve file.",
        )  # fmt: skip
    header: dict[str, str] = {}
    for key, value in _HEADER.findall(document.data[: found.end()]):
        header.setdefault(key.decode("ascii"), value.decode("utf-8", "replace").strip())
    for key in ("SURVEY", "SNID", "NOBS"):
        if not header.get(key):
            raise DataError(f"the header has no {key}", path=document.name, advice=f"Add a line '{key}: ...'.")
    return header, found.end()


def _properties(header: Mapping[str, str]) -> dict[str, float]:
    """Position, redshifts and extinction of the header.

    REDSHIFT_FINAL is the spectroscopic redshift where there is one and the host's photometric one elsewhere, so it is
    photometric only without REDSHIFT_SPEC; the host's own line comes first.
    """
    spec, _ = _with_error(header.get("REDSHIFT_SPEC", ""))
    photometric, error = _with_error(header.get("HOST_GALAXY_PHOTO-Z", ""))
    if math.isnan(photometric) and math.isnan(spec):
        photometric, error = _with_error(header.get("REDSHIFT_FINAL", ""))
    return {
        "ra": _number(header.get("RA", "")),
        "dec": _number(header.get("DECL", header.get("DEC", ""))),
        "redshift": photometric,
        "redshift_error": error,
        "redshift_spec": spec,
        "mwebv": or_nan(_number(header.get("MWEBV", ""))),
    }


def _with_error(text: str) -> tuple[float, float]:
    """'z +- dz' as two numbers, NaN for unknown."""
    value, _, rest = text.partition("+-")
    known = or_nan(_number(value))
    return known, math.nan if math.isnan(known) else or_nan(_number(rest))


def _number(text: str) -> float:
    """The number that a header value begins with, NaN when it begins with none."""
    found = NUMBER.match(text.strip())
    return float(found.group()) if found else math.nan


def _body(document: Document, header: Mapping[str, str], start: int, object_id: str) -> _Body:
    """The observations' text, after checking that it is whole."""
    text, end, _ = document.data[start - 1 :].partition(b"\nEND")
    if not end:
        raise DataError(
            "has no END line; the file is cut off", path=document.name, item=object_id, advice="Fetch the file again."
        )
    count = len(re.findall(rb"^OBS[ \t]*:", text, re.M))
    declared = header["NOBS"].split()[0]
    if _number(declared) != count:
        raise DataError(
            f"NOBS is {declared[:20]}, but {count} OBS rows follow", path=document.name, item=object_id,
            advice="Rows may be missing: fetch the file again, or correct NOBS.",
        )  # fmt: skip
    names = header.get("VARLIST", "").split()
    first_line = document.data.count(b"\n", 0, start) + 1
    return _Body(text[1:], first_line, _places(names, document.name), len(names), document.name, object_id)


def _places(names: list[str], path: str) -> dict[str, int]:
    """Place of each wanted column in VARLIST."""
    places: dict[str, int] = {}
    for ours, spellings in COLUMNS.items():
        found = [name for name in spellings if name in names]
        if not found:
            raise DataError(
                f"VARLIST has no {' or '.join(spellings)}{near_miss(spellings[0], names)}", path=path,
                advice="The file is left out; light curves need MJD, FLT, FLUXCAL and FLUXCALERR.",
            )  # fmt: skip
        places[ours] = names.index(found[0])
    return places


def _rows(body: _Body, report: Report) -> _Rows:
    """All rows at once; one by one when some row is not as VARLIST says."""
    words, step = body.text.split(), body.width + 1
    if len(words) % step == 0 and set(words[::step]) <= {b"OBS:"}:
        try:
            numbers = np.array([list(map(float, words[body.places[name] + 1 :: step])) for name in NUMBERS])
        except ValueError:
            return _rows_one_by_one(body, report)
        bands = words[body.places["band"] + 1 :: step]
        return _Rows(numbers, bands, body.first_line + np.arange(len(bands), dtype=np.int64))
    return _rows_one_by_one(body, report)


def _rows_one_by_one(body: _Body, report: Report) -> _Rows:
    """The rows that can be read; the others are reported once."""
    numbers: list[list[float]] = []
    bands: list[bytes] = []
    lines: list[int] = []
    bad: list[tuple[int, str]] = []
    for line, text in enumerate(body.text.split(b"\n"), body.first_line):
        key, _, values = text.partition(b":")
        if key.strip() != b"OBS":
            continue
        words = values.split()
        try:
            if len(words) != body.width:
                raise ValueError(f"the row has {len(words)} values, expected {body.width} as VARLIST says")
            numbers.append([float(words[body.places[name]]) for name in NUMBERS])
        except ValueError as error:
            bad.append((line, str(error)))
            continue
        bands.append(words[body.places["band"]])
        lines.append(line)
    if bad:
        line, problem = bad[0]
        report(
            DataError(
                f"{len(bad)} of {len(bad) + len(lines)} rows cannot be read, first: {problem}",
                path=body.path, item=body.item, row=line, advice="They are dropped; correct or remove them.",
            )
        )  # fmt: skip
    return _Rows(np.array(numbers, np.float64).reshape(-1, 3).T, bands, np.array(lines, np.int64))
