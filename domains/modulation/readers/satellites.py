"""Recordings of satellites as FM and single-sideband receivers give them: wav.tar.xz and its table labels.csv."""

import csv
import hashlib
import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Float32, Int64

from armillary.core.errors import DataError
from armillary.domains.modulation.frames import Frames, concat
from armillary.domains.modulation.readers.audio_gate import burst_windows
from armillary.domains.modulation.readers.compressed import open_plain
from armillary.domains.modulation.readers.receiver_audio import audio_blocks, stream_analytic
from armillary.domains.modulation.readers.report import Report
from armillary.domains.modulation.readers.unusable import usable

ARCHIVE, TABLE = "wav.tar.xz", "labels.csv"
COLUMNS = ("file", "modulation", "sample_rate_hz", "n_samples", "sha256")
# Differential coding changes which bit a phase step means, not the signal.
_CLASS = {"DBPSK": "BPSK"}
_HEADER_BYTES = 4096  # what a WAV file may have besides its samples
_LONGEST = 1 << 25  # samples; more would not be read whole


@dataclass(frozen=True)
class _Recording:
    """One row of the table. rate: samples per second [Hz]. snr_db: NaN where the table has none."""

    file: str
    label: str
    snr_db: float
    rate: float
    num_samples: int
    sha256: str

    @property
    def largest(self) -> int:
        """Bytes that its WAV file (16 bit) may have."""
        return 2 * self.num_samples + _HEADER_BYTES


def load_satellites(folder: Path, length: int, report: Report) -> Frames:
    """Windows of `length` analytic samples, side by side, of the bursts of every recording.

    The label is the table's modulation, DBPSK counting as BPSK; the SNR [dB] is that of the
    column snr_db, which simulated recordings have, else NaN; the group is the file, so that no recording is in two
    splits. Members are read in memory, one at a time, and never written to disk. A
    recording that is missing, of another size or content than the table says, of another rate than the first, or
    without a whole window is reported and left out.

    Raises:
        DataError: the table or the archive cannot be read, or no recording is usable.
    """
    table = _read_table(folder / TABLE, report)
    path = folder / ARCHIVE
    parts: list[Frames] = []
    seen: set[str] = set()
    for recording, data in _members(path, table, report):
        seen.add(recording.file)
        try:
            part = _frames(recording, data, length, path, report)
            if parts and part.sample_rate_hz != parts[0].sample_rate_hz:
                raise _other_rate(recording, parts[0].sample_rate_hz, path)
            parts.append(part)
        except DataError as error:
            report(error)
    for name in sorted(set(table) - seen):
        report(DataError("is in the table, but not in the archive", path=path, item=name, advice="It is left out."))
    if not parts:
        raise DataError("holds no usable recording", path=path, advice="Compare the files with the data card.")
    return concat(parts)


def _read_table(path: Path, report: Report) -> dict[str, _Recording]:
    """The usable rows of the table by file name."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot be read: {error}", path=path, advice="Expected a table in CSV.") from error
    missing = [name for name in COLUMNS if not rows or name not in rows[0]]
    if missing:
        raise DataError(f"has no column {', '.join(missing)}", path=path, advice=f"Expected {', '.join(COLUMNS)}.")
    table: dict[str, _Recording] = {}
    for number, row in enumerate(rows, 2):
        try:
            recording = _recording(row)
            if recording.file in table:
                raise ValueError("a file that is listed twice")
            table[recording.file] = recording
        except (TypeError, ValueError) as error:
            report(DataError(f"cannot be used: {error}", path=path, row=number, advice="The recording is left out."))
    return table


def _recording(row: dict[str, str]) -> _Recording:
    rate, num_samples = float(row["sample_rate_hz"]), int(row["n_samples"])
    if PurePosixPath(row["file"]).name != row["file"] or not row["file"].isprintable():
        raise ValueError(f"{row['file']!a} is no plain file name")
    if not (np.isfinite(rate) and rate > 0):
        raise ValueError(f"a rate of {rate} Hz")
    if not 0 < num_samples <= _LONGEST:
        raise ValueError(f"{num_samples} samples, expected 1 to {_LONGEST}")
    label = row["modulation"].strip()
    snr_db = float(row.get("snr_db") or "nan")
    return _Recording(row["file"], _CLASS.get(label, label), snr_db, rate, num_samples, row["sha256"].strip().lower())


def _members(path: Path, table: dict[str, _Recording], report: Report) -> Iterator[tuple[_Recording, bytes]]:
    """The archive's recordings that the table lists, streamed in one pass; others are reported, never read.

    A truncated archive gives its whole members first and is then reported.
    """
    seen: set[str] = set()
    try:
        with open_plain(path) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                archive.__dict__["members"] = []  # tarfile would keep every header
                if not 0 <= member.size <= 2 * _LONGEST + _HEADER_BYTES:
                    # Stepping over it would take for ever: tarfile does not notice the end of the stream.
                    raise tarfile.ReadError(f"{member.name!a} claims {member.size} bytes")
                if member.isdir():
                    continue
                name = PurePosixPath(member.name).name
                recording = table.get(name)
                refusal = _refusal(member, recording, name in seen)
                if refusal or recording is None:
                    report(DataError(refusal, path=path, item=ascii(member.name)[1:-1], advice="It is left out."))
                    continue
                seen.add(name)
                content = archive.extractfile(member)
                data = content.read() if content else b""
                if len(data) != member.size:
                    raise tarfile.ReadError(f"{name} ends early")
                yield recording, data
    except DataError as error:
        report(error)
    except (tarfile.TarError, OverflowError, ValueError) as error:
        report(
            DataError(
                f"is truncated or damaged after {len(seen)} recordings: {error}",
                path=path,
                advice="Compare its size and checksum with the data card, and fetch it again.",
            )
        )


def _refusal(member: tarfile.TarInfo, recording: _Recording | None, repeated: bool) -> str:
    """Why a member is not read, or nothing."""
    parts = PurePosixPath(member.name.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts:
        return "the member's name leads out of the archive"
    if not member.isreg() or member.issparse():
        return "the member is a link, a device or a sparse file, not a plain one"
    if recording is None:
        return f"the member is not in {TABLE}"
    if repeated:
        return "a second member of that name"
    if member.size > recording.largest:
        return f"the member has {member.size} bytes, more than the {recording.largest} that its samples need"
    return ""


def _frames(recording: _Recording, data: bytes, length: int, path: Path, report: Report) -> Frames:
    """The burst windows of one recording."""
    name = f"{path}:{recording.file}"
    audio, iq = _samples(recording, data, name)
    count = len(audio) // length
    if count == 0:
        raise DataError(f"{len(audio)} samples are less than one window of {length}", path=name, advice="Left out.")
    start = length * np.flatnonzero(burst_windows(audio[: count * length].reshape(count, length)))
    windows = np.ascontiguousarray(iq[:, start[:, None] + np.arange(length)].transpose(1, 0, 2))
    ids = [f"{recording.file}:{first}" for first in start.tolist()]
    return _as_frames(recording, windows, start, np.array(ids, np.str_), path).select(
        np.flatnonzero(usable(windows, path, lambda index: ids[index], report))
    )


def _as_frames(
    recording: _Recording,
    windows: Float32[np.ndarray, "n 2 l"],
    start: Int64[np.ndarray, " n"],
    ids: np.ndarray,
    path: Path,
) -> Frames:
    count = len(windows)
    return Frames(
        windows,
        np.full(count, recording.label),
        np.full(count, recording.snr_db, np.float32),
        ids,
        np.full(count, recording.file),
        start,
        recording.rate,
        sources=(str(path),),
    )


def _samples(recording: _Recording, data: bytes, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The audio (t,) and its analytic signal (2, t), once digest, rate and size are what the table says."""
    digest = hashlib.sha256(data).hexdigest()
    if digest != recording.sha256:
        raise DataError(
            f"sha256 {digest[:12]}..., expected {recording.sha256[:12]}...",
            path=name,
            advice="The recording is not the one of the table and is left out; fetch the archive again.",
        )
    blocks = list(audio_blocks(io.BytesIO(data), name, sample_rate_hz=recording.rate))
    audio = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
    if len(audio) != recording.num_samples:
        raise DataError(
            f"{len(audio)} samples, expected {recording.num_samples}", path=name, advice="The recording is left out."
        )
    return audio, np.concatenate(list(stream_analytic([audio])), 1)


def _other_rate(recording: _Recording, rate: float, path: Path) -> DataError:
    return DataError(
        f"sampled at {recording.rate:g} Hz, the others at {rate:g} Hz",
        path=path,
        item=recording.file,
        advice="The recording is left out; resample it.",
    )
