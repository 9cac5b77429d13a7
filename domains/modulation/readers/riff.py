"""The chunks of a WAVE file: what is where, and whether the file is as long as it says."""

import struct
from dataclasses import dataclass
from pathlib import Path

from armillary.core.errors import DataError
from armillary.domains.modulation.readers.compressed import unreadable
from armillary.domains.modulation.readers.report import Report

_OPEN = 0xFFFFFFFF  # the length that a recorder writes which cannot know better
_AUXI_BYTES = 1 << 16
_CHUNKS = 10_000


@dataclass(frozen=True)
class WaveFile:
    """Facts from the header of a WAVE file.

    num_bytes: what the data chunk says it holds, None where it does not say. present: bytes that are there.
    auxi: the chunk in which receiver programs keep the centre frequency, b"" without one.
    """

    num_channels: int
    sample_rate_hz: float
    frame_bytes: int
    num_bytes: int | None
    present: int
    auxi: bytes


def read_wave_header(path: Path) -> WaveFile:
    """The header of a WAVE file (RIFF or RF64).

    Raises:
        DataError: no WAVE file, or one without format or data.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            head = stream.read(12)
            if head[:4] not in (b"RIFF", b"RF64") or head[8:12] != b"WAVE":
                raise _malformed(path, "is no WAVE file")
            form, long_data, auxi = b"", None, b""
            data: tuple[int, int] | None = None
            for _ in range(_CHUNKS):
                header = stream.read(8)
                if len(header) < 8:
                    break
                name, length = struct.unpack("<4sI", header)
                start = stream.tell()
                if name == b"fmt ":
                    form = stream.read(min(length, 64))
                elif name == b"ds64":
                    long_data = int.from_bytes(stream.read(min(length, 28))[8:16], "little")
                elif name == b"auxi":
                    auxi = stream.read(min(length, _AUXI_BYTES))
                elif name == b"data":
                    length = long_data if long_data is not None and length == _OPEN else length
                    data = (start, length)
                if length > size - start:
                    break
                stream.seek(start + length + length % 2)
    except OSError as error:
        raise unreadable(path, error) from error
    return _facts(path, size, form, data, auxi)


def check_wave(path: Path, header: WaveFile, report: Report) -> None:
    """Reports a file that is shorter than its header says, or ends within a sample; what is there can be used.

    Raises:
        DataError: a header without rate or sample size.
    """
    each, told, there = header.frame_bytes, header.num_bytes, header.present
    if header.sample_rate_hz <= 0 or each <= 0:
        raise DataError(
            f"its header tells a sample rate of {header.sample_rate_hz:g} Hz and {each} bytes a sample",
            path=path,
            advice="Mend the header; the file is left out.",
        )
    if told == 0:
        report(
            DataError(
                "its header tells of no samples",
                path=path,
                advice="A recorder that was cut off never writes the length: mend the header (sox --ignore-length).",
            )
        )
    elif told is not None and told > there:
        report(
            DataError(
                f"its header tells {told // each} samples, but only {there // each} are there",
                path=path,
                advice="What is there is used. The recording or its copy broke off; fetch it again if it should not.",
            )
        )
    elif there % each:
        report(
            DataError(
                f"has {there} bytes of samples, which is no whole number of samples of {each} bytes",
                path=path,
                advice="The whole samples are used.",
            )
        )


def _facts(path: Path, size: int, form: bytes, data: tuple[int, int] | None, auxi: bytes) -> WaveFile:
    if len(form) < 16 or data is None:
        raise _malformed(path, "has no format chunk or no data chunk")
    _, channels, rate, _, frame_bytes, _ = struct.unpack("<HHIIHH", form[:16])
    start, length = data
    known = None if length == _OPEN else length
    present = max(size - start, 0)
    return WaveFile(channels, float(rate), frame_bytes, known, present if known is None else min(known, present), auxi)


def _malformed(path: Path, problem: str) -> DataError:
    return DataError(problem, path=path, advice="Check that it is a WAV file and was fetched whole.")
