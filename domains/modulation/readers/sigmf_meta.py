"""What a SigMF metadata file says, checked: nothing in it is believed before it fits.

The library's own reader is not used on files from outside: it follows `core:dataset` out of the folder, loads metadata
of any size, takes any text with a 'c' and an '8' for a datatype, and passes over counts that lie with a warning.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from jaxtyping import Int64

from armillary.core.errors import DataError
from armillary.domains.modulation.readers.capture import Starts
from armillary.domains.modulation.readers.report import Report
from armillary.domains.modulation.readers.samples import SampleFormat, sample_format

META_BYTES = 64 << 20
_LABEL_LETTERS = 100  # 20 are recommended
_DATATYPES = "cf32_le, cf64_le, ci16_le, ci8, cu8, rf32_le, or the same with _be"
_GUIDE = "See the SigMF specification; the recording is left out."


@dataclass(frozen=True)
class Segment:
    """A stretch of samples recorded alike. start: its first sample; header_bytes: what lies before it in the file."""

    start: int
    centre_hz: float = math.nan
    header_bytes: int = 0


@dataclass(frozen=True)
class Annotations:
    """Labelled stretches [start, stop) of samples; shorter ones speak for themselves where they overlap."""

    start: Int64[np.ndarray, " a"]
    stop: Int64[np.ndarray, " a"]
    label: tuple[str, ...]

    def labels(self, starts: Starts, length: int) -> np.ndarray:
        """Label of each window that lies inside a labelled stretch, "" for the others."""
        names = np.full(len(starts), "", object)
        if len(starts) and len(self.start):
            near = np.flatnonzero((self.start <= starts[-1]) & (self.stop >= starts[0] + length))
            for place in near[np.argsort(-(self.stop - self.start)[near], kind="stable")].tolist():
                inside = (starts >= self.start[place]) & (starts + length <= self.stop[place])
                names[inside] = self.label[place]
        return names.astype(np.str_)


@dataclass(frozen=True)
class Metadata:
    """One recording as its metadata describe it; annotations are not yet held against the samples.

    offset: number of the file's first sample. dataset: name of a data file that is not called after the metadata.
    """

    form: SampleFormat
    sample_rate_hz: float
    offset: int
    dataset: str
    sha512: str
    trailing_bytes: int
    segments: tuple[Segment, ...]
    annotations: tuple[tuple[int, int | None, str], ...]


def parse_metadata(text: bytes, place: str | Path, report: Report) -> Metadata:
    """The metadata in a JSON text; annotations that say nonsense are reported and left out.

    Raises:
        DataError: what is needed to find the samples is missing or impossible.
    """
    about = _Object(_json(text, place), place)
    own = about.child("global")
    name = own.text("core:datatype")
    form = sample_format(name)
    if form is None:
        raise _wrong(place, "core:datatype", f"{name[:40]!r}", f"one such as {_DATATYPES}")
    channels = own.whole("core:num_channels", 1)
    if channels != 1:
        raise _wrong(place, "core:num_channels", str(channels), "1; save each channel as a recording of its own")
    if own.values.get("core:metadata_only") is True and "core:dataset" not in own.values:
        raise DataError(
            "says that it has no samples (core:metadata_only)", path=place, advice="Give the recording itself."
        )
    rate = own.number("core:sample_rate")
    if rate <= 0:
        raise _wrong(place, "core:sample_rate", f"{rate:g}", "more than 0 samples a second")
    return Metadata(
        form,
        rate,
        own.whole("core:offset", 0),
        _dataset(own, place),
        own.text("core:sha512", "").lower(),
        own.whole("core:trailing_bytes", 0),
        _segments(about, place),
        _annotations(about, place, report),
    )


def _json(text: bytes, place: str | Path) -> object:
    if len(text) > META_BYTES:
        raise DataError(f"has metadata of more than {META_BYTES} bytes", path=place, advice=_GUIDE)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"its metadata are no JSON: {str(error)[:120]}", path=place, advice=_GUIDE) from error


def _wrong(place: str | Path, key: str, got: str, expected: str) -> DataError:
    return DataError(f"{key} is {got}; expected {expected}", path=place, advice=_GUIDE)


class _Object:
    """A JSON object whose values are asked for by type."""

    def __init__(self, value: object, place: str | Path, name: str = "the metadata") -> None:
        if not isinstance(value, dict):
            raise _wrong(place, name, f"a {type(value).__name__}", "an object")
        self.values, self.place = cast(Mapping[str, Any], value), place

    def child(self, key: str) -> "_Object":
        return _Object(self.values.get(key), self.place, key)

    def children(self, key: str) -> Sequence[object]:
        value = self.values.get(key, [])
        if not isinstance(value, list):
            raise _wrong(self.place, key, f"a {type(value).__name__}", "a list")
        return cast(list[object], value)

    def text(self, key: str, default: str | None = None) -> str:
        value = self.values.get(key, default)
        if not isinstance(value, str):
            raise _wrong(self.place, key, "missing" if value is None else f"a {type(value).__name__}", "text")
        return value

    def whole(self, key: str, default: int | None = None) -> int:
        """A whole number from 0 to 2^62; programs write them as 1e6, too."""
        value = self.values.get(key, default)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**62:
            raise _wrong(self.place, key, "missing" if value is None else f"{value!r}"[:40], "a whole number from 0 on")
        return value

    def number(self, key: str) -> float:
        """A finite number [Hz], NaN where it is missing."""
        value = self.values.get(key)
        if value is None:
            return math.nan
        if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < 1e15:
            raise _wrong(self.place, key, f"{value!r}"[:40], "a number")
        return float(value)


def _dataset(own: _Object, place: str | Path) -> str:
    """The name of the data file: a plain one, in the folder of the metadata."""
    name = own.text("core:dataset", "")
    if name and (name in (".", "..") or any(letter in name for letter in '/\\:*?"<>|') or not name.isprintable()):
        raise _wrong(
            place, "core:dataset", f"{name[:40]!r}", "the name of a file beside the metadata, without a folder"
        )
    return name


def _segments(about: _Object, place: str | Path) -> tuple[Segment, ...]:
    segments: list[Segment] = []
    for number, value in enumerate(about.children("captures")):
        capture = _Object(value, place, f"captures[{number}]")
        start = capture.whole("core:sample_start")
        if segments and start < segments[-1].start:
            raise _wrong(place, f"captures[{number}] core:sample_start", str(start), f"{segments[-1].start} or more")
        segments.append(Segment(start, capture.number("core:frequency"), capture.whole("core:header_bytes", 0)))
    return tuple(segments)


def _annotations(about: _Object, place: str | Path, report: Report) -> tuple[tuple[int, int | None, str], ...]:
    """(start, count, label) of the annotations that have a label; the count is None up to the end of the capture."""
    found: list[tuple[int, int | None, str]] = []
    wrong: list[tuple[int, DataError]] = []
    for number, value in enumerate(about.children("annotations")):
        try:
            annotation = _Object(value, place, f"annotations[{number}]")
            start = annotation.whole("core:sample_start")
            count = annotation.whole("core:sample_count") if "core:sample_count" in annotation.values else None
            label = annotation.text("core:label", "")
            if len(label) > _LABEL_LETTERS:
                raise _wrong(place, "core:label", f"{len(label)} letters long", f"{_LABEL_LETTERS} at most")
        except DataError as error:
            wrong.append((number, error))
            continue
        if label:
            found.append((start, count, label))
    if wrong:
        number, first = wrong[0]
        problem = f"{len(wrong)} of its annotations cannot be used; annotations[{number}]: {first.problem}"
        report(DataError(problem, path=place, advice="They are left out; their windows have no label."))
    return tuple(found)
