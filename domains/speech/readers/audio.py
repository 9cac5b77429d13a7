"""One channel of any audio file as a stream of blocks, in constant memory, whatever the file's header says."""

import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile
from jaxtyping import Float32

from armillary.core.errors import DataError
from armillary.domains.speech.readers.report import Report, ignore
from armillary.domains.speech.readers.resample import resampled
from armillary.domains.speech.settings import HIGHEST_HZ, LOWEST_HZ

Block = Float32[np.ndarray, " n"]
Channel = int | Literal["mean"]
KNOWN = "WAV, FLAC, OGG, MP3, AIFF or another format of libsndfile"
SUFFIXES = (
    ".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".w64",
    ".rf64", ".sph", ".nist",
)  # fmt: skip
# Louder is no sound: squares and sums of it would overflow.
_LOUDEST = 1e15
_BLOCK_FRAMES, _BLOCK_VALUES = 1 << 16, 1 << 20
# Frames that a header tells where it does not know: libsndfile's largest count, and what is near to it.
_UNKNOWN_FRAMES = 1 << 62
# A writer to a pipe cannot go back to fill in the size; it leaves the largest one.
_UNKNOWN_BYTES = 0x7FFFF000
_SHORT = re.compile(r"^\s*(?:data|SSND|Data Size|riff)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)


@dataclass(frozen=True)
class AudioInfo:
    """What a file's header says. num_frames: samples a channel; None where the header does not know."""

    rate_hz: int
    num_channels: int
    num_frames: int | None


class _Straight(soundfile.SoundFile):
    """A file read from front to back. soundfile would seek after every block, and in MP3 that misses its place."""

    def seekable(self) -> bool:
        return False


def open_audio(path: Path) -> soundfile.SoundFile:
    """The opened file.

    Raises:
        DataError: no file, an empty one, no audio, or a sample rate beyond reason.
    """
    _check_file(path)
    try:
        file = _Straight(str(path))
    except TypeError as error:
        raise _no_audio(path, "samples without a header") from error
    except soundfile.SoundFileError as error:
        raise _no_audio(path, _reason(error)) from error
    if not LOWEST_HZ <= file.samplerate <= HIGHEST_HZ:
        file.close()
        raise DataError(
            f"tells a sample rate of {file.samplerate} Hz; expected {LOWEST_HZ} to {HIGHEST_HZ} Hz",
            path=path,
            advice="Correct the rate in the file's header.",
        )
    return file


def info(path: Path) -> AudioInfo:
    """What the header says, where the last sample that it tells of can be read.

    Raises:
        DataError: as `open_audio`; no samples; or less in the file than its header says.
    """
    with open_audio(path) as file:
        told = _told_frames(file)
        if told == 0:
            raise _empty(path)
        if told is not None and file.format == "FLAC":
            _check_end(path, file, told)
        elif short := _cut_off(file):
            raise DataError(short, path=path, advice="Copy or fetch the file again.")
        return AudioInfo(file.samplerate, file.channels, told)


def stream_audio(path: Path, rate_hz: int, channel: Channel = "mean", report: Report = ignore) -> Iterator[Block]:
    """Blocks of one channel at `rate_hz` [Hz]: ceil(n rate_hz / r) samples of a file with n samples at rate r.

    Values beyond 1 stay. Samples that are not finite become zero and are reported, as is a file that ends before its
    header says or that breaks off: what could be read of it comes out.

    Raises:
        DataError: as `open_audio`, a channel that is not there, or no sample that can be read.
    """
    with open_audio(path) as file:
        _check_channel(path, file.channels, channel)
        yield from resampled(native_blocks(path, file, channel, report), file.samplerate, rate_hz)


def native_blocks(
    path: Path, file: soundfile.SoundFile, channel: Channel, report: Report, start: int = 0, stop: int | None = None
) -> Iterator[Block]:
    """Blocks of one channel at the file's own rate, from sample `start` to `stop`; reports as in `stream_audio`.

    Raises:
        DataError: no sample can be read there.
    """
    # Notes are taken first: reading to the end of a sound OGG file adds the same words as damage does.
    told, tally, noted = _told_frames(file), _Tally(start), _cut_off(file) or _left_over(file)
    if start:
        _seek(path, file, start)
    size = max(min(_BLOCK_FRAMES, _BLOCK_VALUES // file.channels), 1)
    while len(frames := tally.read(file, size if stop is None else min(size, stop - tally.place))):
        yield tally.sound(_picked(frames, channel))
    if tally.place == start:
        raise _no_audio(path, tally.broken) if tally.broken else _empty(path)
    short = "" if tally.place == stop else tally.shortfall(file.format, told) or noted
    for problem in (short, tally.strange()):
        if problem:
            report(DataError(problem, path=path, advice="What could be read is used."))


@dataclass
class _Tally:
    """How far a file was read, and what was wrong with it. looked_at: samples whose values were checked."""

    place: int
    looked_at: int = 0
    broken: str = ""
    bad: int = 0
    first_bad: int = 0

    def read(self, file: soundfile.SoundFile, size: int) -> Float32[np.ndarray, "m c"]:
        """The next frames, at most `size`; none at the end, or after the error that ends the file."""
        out = np.full((size, file.channels), np.nan, np.float32)
        if self.broken:
            return out[:0]
        try:
            frames = file.read(out=out)
        except soundfile.SoundFileError as error:
            self.broken = _reason(error)
            # libsndfile leaves what it could decode before the error.
            frames = out[: _leading(np.asarray(~np.isnan(out).all(1)))]
        self.place += len(frames)
        return frames

    def sound(self, block: Float32[np.ndarray, " n"]) -> Float32[np.ndarray, " n"]:
        """The block with zeros in place of what is no sound."""
        bad = ~(np.abs(block) <= _LOUDEST)
        if bad.any():
            if self.bad == 0:
                self.first_bad = self.looked_at + int(np.argmax(bad))
            self.bad += int(bad.sum())
            block = np.where(bad, np.float32(0), block)
        self.looked_at += len(block)
        return block

    def strange(self) -> str:
        """The problem with values that are no sound, empty without."""
        if self.bad == 0:
            return ""
        return (
            f"{self.bad} of {self.looked_at} samples are not finite (NaN, infinity, or beyond {_LOUDEST:g}), the first "
            f"at {self.first_bad}; they are taken as zero"
        )

    def shortfall(self, form: str, told: int | None) -> str:
        """The problem with a file that has less than its header says, empty without."""
        # Of MP3 the header's count is an estimate.
        least = 0 if told is None else told if form != "MP3" else int(0.99 * told)
        if self.broken or self.place < least:
            why = f" ({self.broken})" if self.broken else ""
            of = "" if told is None else f" of the {told} that its header tells"
            return f"ends after {self.place} samples{of}{why}"
        return ""


def _picked(frames: Float32[np.ndarray, "n c"], channel: Channel) -> Block:
    """One channel, or the mean of all; NaN where a channel has it, without a word about overflow."""
    if channel != "mean":
        return np.ascontiguousarray(frames[:, channel])
    if frames.shape[1] == 1:
        return frames[:, 0]
    with np.errstate(over="ignore", invalid="ignore"):
        return frames.mean(1, dtype=np.float64).astype(np.float32)


def _reason(error: soundfile.SoundFileError) -> str:
    return str(getattr(error, "error_string", error)).removeprefix("Error : ").strip().rstrip(".") or "damaged"


def _seek(path: Path, file: soundfile.SoundFile, start: int) -> None:
    try:
        file.seek(start)
    except soundfile.SoundFileError as error:
        raise DataError(
            f"cannot be read from sample {start} on ({_reason(error)})", path=path, advice="Copy or fetch it again."
        ) from error


def _leading(flags: np.ndarray) -> int:
    """How many are true before the first that is not."""
    return len(flags) if flags.all() else int(np.argmin(flags))


def _told_frames(file: soundfile.SoundFile) -> int | None:
    return file.frames if 0 <= file.frames < _UNKNOWN_FRAMES else None


def _cut_off(file: soundfile.SoundFile) -> str:
    """What libsndfile's notes say about samples that are missing: it corrects the header's count by itself."""
    notes = file.extra_info
    if match := _SHORT.search(notes):
        told, held = int(match[1]), int(match[2])
        if held < told < _UNKNOWN_BYTES:
            return f"is cut off: its header tells of {told} bytes of samples, the file holds {held}"
    if file.format == "OGG" and "end-of-stream" in notes.lower():
        return "is cut off: its last page is not marked as the end"
    return ""


def _left_over(file: soundfile.SoundFile) -> str:
    if "Unknown chunk marker" in file.extra_info:
        return "holds bytes after its samples that are no part of the format; its header may tell too few samples"
    return ""


def _check_end(path: Path, file: soundfile.SoundFile, told: int) -> None:
    try:
        file.seek(told - 1)
        whole = len(file.read(1)) == 1
    except soundfile.SoundFileError:
        whole = False
    if not whole:
        raise DataError(
            f"is cut off: the last of the {told} samples that its header tells of cannot be read",
            path=path,
            advice="Copy or fetch the file again.",
        )


def _check_file(path: Path) -> None:
    name = str(path).encode(errors="surrogateescape").decode(errors="backslashreplace")
    if name != str(path):
        # No table, NetCDF file or terminal takes such a name.
        raise DataError("its name is no text in UTF-8", path=name, advice="Give it another name.")
    try:
        about = path.stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"cannot be opened ({reason})", path=path, advice="Check the path.") from error
    if not stat.S_ISREG(about.st_mode):
        raise DataError("is no file", path=path, advice=f"Give {KNOWN}.")
    if about.st_size == 0:
        raise DataError("is empty (0 bytes)", path=path, advice="Copy or fetch the file again.")


def _check_channel(path: Path, num_channels: int, channel: Channel) -> None:
    if channel != "mean" and channel >= num_channels:
        raise DataError(
            f"has no channel {channel}: it has {num_channels}, counted from 0",
            path=path,
            advice=f"Set predict.channel to 0 to {num_channels - 1}, or to mean." if num_channels > 1
            else "Set predict.channel to 0 or mean.",
        )  # fmt: skip


def _no_audio(path: Path, reason: str) -> DataError:
    return DataError(f"no audio that can be read ({reason})", path=path, advice=f"Expected {KNOWN}.")


def _empty(path: Path) -> DataError:
    return DataError("holds no samples; expected one at least", path=path, advice="Record or copy it again.")
