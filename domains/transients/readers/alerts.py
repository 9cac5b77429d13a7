"""Alert packets in ZTF's Avro schema: one packet, one object as it was known at that moment."""

import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any, cast

import fastavro
import numpy as np

from armillary.core.errors import DataError
from armillary.domains.transients.readers.archives import Document
from armillary.domains.transients.readers.avro_schema import check_schema
from armillary.domains.transients.readers.records import Record, known_bands
from armillary.domains.transients.readers.report import Report
from armillary.domains.transients.units import flux_from_magnitude, mjd_from_jd

FORMAT = "ztf_alert"
SURVEY = "ztf"
MAXIMUM_PACKETS = 100_000  # in one file
ROW_FIELDS = ("time", "band_index", "flux", "flux_error", "detected", "row")
_ADVICE = "Give alert packets as the ZTF archive serves them (uncompressed Avro)."


def parse_alerts(document: Document, report: Report) -> Iterator[Record]:
    """One record a packet: the candidate and its previous ones.

    Upper limits have no flux and are left out. A negative subtraction (isdiffpos 'f') has a negative flux and does
    not count as a detection. JD becomes MJD.
    """
    try:
        packets = fastavro.reader(io.BytesIO(document.data))
        if packets.codec != "null":
            raise ValueError(f"its codec is {packets.codec!r}")
        check_schema(packets.writer_schema)
        for number, packet in enumerate(islice(packets, MAXIMUM_PACKETS)):
            yield _record(cast(Mapping[str, Any], packet), document, number, report)
    except DataError:
        raise
    except Exception as error:  # fastavro raises whatever a damaged byte leads it to
        problem = f"cannot be read as an alert packet: {type(error).__name__}: {str(error)[:200]}"
        raise DataError(problem, path=document.name, advice=_ADVICE) from error


def _record(packet: Mapping[str, Any], document: Document, number: int, report: Report) -> Record:
    object_id, candidate = packet.get("objectId"), packet.get("candidate")
    if not isinstance(object_id, str) or not object_id or not isinstance(candidate, Mapping):
        raise ValueError(f"packet {number + 1} has no objectId or no candidate")
    points = [candidate, *(packet.get("prv_candidates") or [])]
    measured = [point for point in points if point.get("magpsf") is not None]
    numbers = {name: _numbers(measured, name) for name in ("jd", "magpsf", "sigmapsf")}
    lines = np.full(len(measured), number + 1, np.int64)
    bands = [str(point.get("fid")) for point in measured]
    index = known_bands(bands, SURVEY, (document.name, object_id), lines, report)
    positive = np.array([str(point.get("isdiffpos")).lower() in ("t", "1", "true") for point in measured], np.bool_)
    flux, flux_error = flux_from_magnitude(numbers["magpsf"], numbers["sigmapsf"])
    record = Record(
        object_id=object_id, format=FORMAT, survey=SURVEY, path=document.name, source=document.source,
        time=mjd_from_jd(numbers["jd"]), band_index=index, flux=np.where(positive, flux, -flux),
        flux_error=flux_error, detected=positive, row=lines, ra=_number(candidate.get("ra")),
        dec=_number(candidate.get("dec")),
    )  # fmt: skip
    return _select(record, index >= 0)


def _numbers(points: list[Mapping[str, Any]], name: str) -> np.ndarray:
    return np.array([_number(point.get(name)) for point in points], np.float64)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _select(record: Record, keep: np.ndarray) -> Record:
    rows = {name: getattr(record, name)[keep] for name in ROW_FIELDS}
    return replace(record, **rows)


def join_packets(records: Iterator[Record]) -> Iterator[Record]:
    """Packets of one object that follow one another as one record, with the newest packet's metadata."""
    last: Record | None = None
    for record in records:
        same = last is not None and (last.object_id, last.format) == (record.object_id, record.format)
        if last is not None and same and record.format == FORMAT:
            joined = {name: np.concatenate([getattr(last, name), getattr(record, name)]) for name in ROW_FIELDS}
            last = replace(record, **joined)
            continue
        if last is not None:
            yield last
        last = record
    if last is not None:
        yield last
