"""SigMF recordings: a pair of .sigmf-meta and .sigmf-data, or both in a .sigmf archive, read where they lie."""

import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import cast

import numpy as np
from jaxtyping import Complex64
from sigmf.hashing import calculate_sha512

from armillary.core.errors import DataError
from armillary.domains.modulation.readers.capture import Capture
from armillary.domains.modulation.readers.compressed import unreadable
from armillary.domains.modulation.readers.report import Report
from armillary.domains.modulation.readers.samples import stream_samples
from armillary.domains.modulation.readers.sigmf_meta import (
    META_BYTES,
    Annotations,
    Metadata,
    Segment,
    parse_metadata,
)
from armillary.domains.modulation.settings import ModulationPredict

META, DATA = ".sigmf-meta", ".sigmf-data"
_MEMBERS = 10_000
_NAME_LETTERS = 255
_hash = cast(Callable[..., str], calculate_sha512)


@dataclass(frozen=True)
class _Region:
    """The bytes of a data file: a whole file, or a member of an archive. name: as messages show it."""

    name: str
    path: Path
    offset: int
    size: int


def open_sigmf(path: Path, settings: ModulationPredict, report: Report) -> Iterator[Capture]:
    """The captures of a pair of files, of which either may be given.

    Raises:
        DataError: a file of the pair is missing, or metadata that cannot be right.
    """
    meta = path.with_name(path.name[: -len(DATA)] + META) if path.name.lower().endswith(DATA) else path
    if not meta.is_file():
        raise DataError(f"has no metadata beside it ({meta.name})", path=path, advice="Give both files of the pair.")
    about = parse_metadata(_small(meta), meta, report)
    data = meta.with_name(about.dataset or meta.name[: -len(META)] + DATA)
    if not data.is_file():
        raise DataError(f"has no data file beside it ({data.name})", path=meta, advice="Give both files of the pair.")
    yield from _captures(str(meta), about, _Region(str(data), data, 0, data.stat().st_size), report)


def open_sigmf_archive(path: Path, settings: ModulationPredict, report: Report) -> Iterator[Capture]:
    """The captures of every recording in an archive, read in place; nothing is ever extracted.

    Only plain files count, whatever their folders; links and devices are passed over.

    Raises:
        DataError: no tar archive, or one without a recording.
    """
    members = _members(path)
    metas = [name for name in members if name.lower().endswith(META)]
    if not metas:
        raise DataError(f"holds no {META} file", path=path, advice="Expected a SigMF archive: a tar of recordings.")
    for name in metas:
        place = f"{path}:{name}"
        try:
            offset, size = members[name]
            if size > META_BYTES:
                raise DataError(f"has metadata of {size} bytes", path=place, advice=f"Expected {META_BYTES} at most.")
            about = parse_metadata(_bytes(path, offset, size), place, report)
            data = str(PurePosixPath(name).with_name(about.dataset or PurePosixPath(name).name[: -len(META)] + DATA))
            if data not in members:
                raise DataError(f"the archive holds no {data}", path=place, advice="It is left out; pack both files.")
            yield from _captures(place, about, _Region(f"{path}:{data}", path, *members[data]), report)
        except DataError as error:
            report(error)


def _small(path: Path) -> bytes:
    return _bytes(path, 0, META_BYTES + 1)


def _bytes(path: Path, offset: int, size: int) -> bytes:
    try:
        with path.open("rb") as stream:
            stream.seek(offset)
            return stream.read(size)
    except OSError as error:
        raise unreadable(path, error) from error


def _members(path: Path) -> dict[str, tuple[int, int]]:
    """Place and size of each plain file in an uncompressed archive."""
    found: dict[str, tuple[int, int]] = {}
    whole = path.stat().st_size
    try:
        with tarfile.open(path, "r:") as archive:
            for count, member in enumerate(archive):
                if count >= _MEMBERS:
                    raise DataError(f"has more than {_MEMBERS} members", path=path, advice="Split the archive.")
                if member.isreg() and not member.issparse() and len(member.name) <= _NAME_LETTERS:
                    if not 0 <= member.size <= whole - member.offset_data:
                        raise tarfile.ReadError(f"{member.name[:80]} claims {member.size} bytes")
                    found[member.name] = (member.offset_data, member.size)
    except (tarfile.TarError, OSError, ValueError, OverflowError, RecursionError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise unreadable(path, error) from error
        raise DataError(
            f"is no plain tar archive, or damaged: {str(error)[:120]}",
            path=path,
            advice="A compressed archive must be unpacked first; otherwise fetch it again.",
        ) from error
    return found


def _captures(source: str, about: Metadata, data: _Region, report: Report) -> Iterator[Capture]:
    """One capture for each segment; what the metadata claim beyond the samples is reported and cut off."""
    _check_digest(source, about, data, report)
    segments = _segments(about)
    total = _num_samples(source, about, data, report)
    places = _places(source, segments, about.offset, total, report)
    annotations = _annotations(source, about, places, about.offset + total, report)
    before = 0
    for segment, stop in places:
        before += segment.header_bytes
        count = stop - segment.start
        if count == 0 and len(places) > 1:
            continue
        offset = data.offset + before + (segment.start - about.offset) * about.form.size
        yield Capture(
            source,
            _stream(data.path, about, offset, count),
            about.sample_rate_hz,
            segment.centre_hz,
            segment.start,
            annotations.labels,
        )


def _stream(
    path: Path, about: Metadata, offset: int, count: int
) -> Callable[[], Iterator[Complex64[np.ndarray, " s"]]]:
    return lambda: stream_samples(path, about.form, offset, count)


def _check_digest(source: str, about: Metadata, data: _Region, report: Report) -> None:
    if not about.sha512:
        return
    digest = _hash(filename=data.path, offset=data.offset, size=data.size)
    if digest != about.sha512:
        report(
            DataError(
                f"core:sha512 is {about.sha512[:16]}..., the data's is {digest[:16]}... ({data.name})",
                path=source,
                advice="The samples are used as they are. One of the two files was changed; fetch both again.",
            )
        )


def _segments(about: Metadata) -> tuple[Segment, ...]:
    """The segments, with one of unknown frequency for what comes before the first."""
    if not about.segments or about.segments[0].start > about.offset:
        return (Segment(about.offset), *about.segments)
    return about.segments


def _num_samples(source: str, about: Metadata, data: _Region, report: Report) -> int:
    """Whole samples in the data; what is left over is reported."""
    skipped = sum(segment.header_bytes for segment in about.segments) + about.trailing_bytes
    size = data.size - skipped
    if size < 0:
        raise DataError(
            f"core:header_bytes and core:trailing_bytes add up to {skipped}, the data have {data.size} ({data.name})",
            path=source,
            advice="Mend the metadata, or fetch the data again.",
        )
    count, rest = divmod(size, about.form.size)
    if rest:
        report(
            DataError(
                f"{data.name} holds {size} bytes, which is no whole number of samples of {about.form.size} bytes "
                f"({about.form.name})",
                path=source,
                advice="The whole samples are used. Check core:datatype, or fetch the data again.",
            )
        )
    return count


def _places(
    source: str, segments: tuple[Segment, ...], offset: int, total: int, report: Report
) -> list[tuple[Segment, int]]:
    """Each segment with the number of the sample after its last; those beyond the data are reported."""
    end = offset + total
    if segments[0].start < offset:
        raise DataError(
            f"a capture starts at sample {segments[0].start}, before the first one ({offset})", path=source,
            advice="Mend core:offset or core:sample_start.",
        )  # fmt: skip
    for number, segment in enumerate(segments):
        if number and segment.start >= end:
            report(
                DataError(
                    f"a capture starts at sample {segment.start}, the data end at {end}", path=source,
                    advice="It is left out. The data may have been cut short.",
                )
            )  # fmt: skip
    stops = [segment.start for segment in segments[1:]] + [end]
    inside = [(segment, min(stop, end)) for segment, stop in zip(segments, stops, strict=True) if segment.start < end]
    return inside or [(segments[0], segments[0].start)]


def _annotations(
    source: str, about: Metadata, places: list[tuple[Segment, int]], end: int, report: Report
) -> Annotations:
    """The labelled stretches, none longer than the data."""
    starts, stops, labels = list[int](), list[int](), list[str]()
    too_long: list[tuple[int, int]] = []
    capture_starts = np.array([segment.start for segment, _ in places], np.int64)
    for start, count, label in about.annotations:
        if count is None:
            place = max(int(np.searchsorted(capture_starts, start, "right")) - 1, 0)
            stop = places[place][1]
        else:
            stop = start + count
        if start < about.offset or stop > end:
            too_long.append((start, stop))
        starts.append(start)
        stops.append(min(stop, end))
        labels.append(label)
    if too_long:
        start, stop = too_long[0]
        report(
            DataError(
                f"{len(too_long)} of its annotations reach beyond the data, which are samples {about.offset} to {end}; "
                f"the first reaches from {start} to {stop}",
                path=source,
                advice="They count up to where the data end. The data may have been cut short.",
            )
        )
    return Annotations(np.array(starts, np.int64), np.array(stops, np.int64), tuple(labels))
