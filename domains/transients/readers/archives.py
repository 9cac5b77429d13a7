"""Bytes of files from outside: decompression and tar members under limits, nothing ever extracted to disk."""

import bz2
import gzip
import io
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from armillary.core.errors import DataError
from armillary.domains.transients.readers.report import Report

MEGABYTE = 1 << 20

# What decompressors and tarfile raise on damaged input.
DAMAGE = (tarfile.TarError, EOFError, lzma.LZMAError, zlib.error, OSError, ValueError, OverflowError, MemoryError)
_OPENERS: dict[bytes, Callable[[BinaryIO], Any]] = {
    b"\x1f\x8b": lambda raw: gzip.GzipFile(fileobj=raw),
    b"\xfd7zXZ\x00": lambda raw: lzma.LZMAFile(raw),  # noqa: SIM115 (closed by _Owner)
    b"BZh": lambda raw: bz2.BZ2File(raw),
}


@dataclass(frozen=True)
class Limits:
    """What an archive may unfold to. Real light-curve archives stay below a ratio of 20."""

    members: int = 1_000_000
    member_bytes: int = 64 * MEGABYTE
    ratio: int = 200
    free_bytes: int = 64 * MEGABYTE  # total that is always allowed, whatever the ratio
    header_bytes: int = MEGABYTE  # a tar member's extended header


LIMITS = Limits()


@dataclass(frozen=True)
class Document:
    """One small file, or one member of an archive, in memory."""

    name: str  # as messages show it: "night.tar.gz:ANTARES/ZTF18a.csv"
    source: str  # the file on disk
    data: bytes


class BoundedReader(io.RawIOBase):
    """Reads a stream and refuses to give more than `limit` bytes in all."""

    def __init__(self, stream: Any, limit: int, path: str) -> None:
        self._stream, self._left, self._limit, self._path = stream, limit, limit, path

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        self._left -= len(data)
        if self._left < 0:
            raise DataError(
                f"unfolds to more than {self._limit} bytes, which no light-curve file of this size does",
                path=self._path,
                advice="It may be a decompression bomb. If you trust it, unpack it yourself and give the files inside.",
            )
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()


def open_bounded(path: Path, limits: Limits = LIMITS) -> io.BufferedReader:
    """The decompressed bytes of a plain, gzip, xz or bzip2 file, at most `limits.ratio` times its size."""
    raw = path.open("rb")
    head = raw.read(6)
    raw.seek(0)
    for magic, opener in _OPENERS.items():
        if head.startswith(magic):
            bounded = BoundedReader(_Owner(opener(raw), raw), allowed_bytes(path, limits), str(path))
            return io.BufferedReader(bounded, MEGABYTE // 4)
    return raw


def allowed_bytes(path: Path, limits: Limits = LIMITS) -> int:
    """How many bytes a file may unfold to."""
    return max(limits.free_bytes, limits.ratio * path.stat().st_size)


class _Owner:
    """A decompressor together with the file below it, closed as one."""

    def __init__(self, stream: Any, raw: BinaryIO) -> None:
        self.read, self._stream, self._raw = stream.read, stream, raw

    def close(self) -> None:
        self._stream.close()
        self._raw.close()


def read_small(path: Path, limits: Limits = LIMITS) -> bytes:
    """The decompressed content of a file that must fit in `limits.member_bytes`."""
    try:
        with open_bounded(path, limits) as stream:
            data = stream.read(limits.member_bytes + 1)
    except DAMAGE as error:
        raise damaged(str(path), error) from error
    if len(data) > limits.member_bytes:
        raise DataError(
            f"is larger than {limits.member_bytes} bytes, too large for a file of its kind",
            path=path,
            advice="Split it, or check that it is what its name says.",
        )
    return data


def damaged(path: str, error: BaseException, after: str = "") -> DataError:
    """What to say of a file whose bytes cannot be had: the system refuses, or they are not what they should be."""
    if isinstance(error, OSError) and error.errno is not None:
        return DataError(
            f"cannot be read{after}: {error.strerror}",
            path=path,
            advice="Check the file's permissions, the disk, and the space in the temporary folder.",
        )
    return DataError(
        f"is truncated or damaged{after}: {error or type(error).__name__}",
        path=path,
        advice="Compare its size and checksum with the data card, and fetch it again.",
    )


class _TarInfo(tarfile.TarInfo):
    """A tar header whose extension records cannot claim more memory than they may."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_TarInfo":
        info = super().frombuf(buf, encoding, errors)
        extended = info.type not in (*tarfile.REGULAR_TYPES, tarfile.DIRTYPE)
        if extended and info.size > LIMITS.header_bytes:
            raise tarfile.ReadError(f"a header record claims {info.size} bytes")
        return info


def members(path: Path, report: Report, limits: Limits = LIMITS) -> Iterator[Document]:
    """The regular files of a tar archive (plain, gz, xz, bz2), streamed in one pass.

    Links, devices, absolute names, names with '..' and members that are too large are reported and left out. A
    truncated archive yields its whole members first and is then reported.
    """
    count = 0
    try:
        total = allowed_bytes(path, limits)
        with open_bounded(path, limits) as stream, tarfile.open(fileobj=stream, mode="r|", tarinfo=_TarInfo) as archive:
            for member in archive:
                archive.__dict__["members"] = []  # tarfile would keep every header
                count += 1
                if count > limits.members:
                    raise DataError(f"has more than {limits.members} members", path=path, advice="Split the archive.")
                if not 0 <= member.size <= total:
                    # Stepping over it would take for ever: tarfile does not notice the end of the stream.
                    raise tarfile.ReadError(f"{_printable(member.name)} claims {member.size} bytes")
                if member.isdir():
                    continue
                name = f"{path}:{_printable(member.name)}"
                refusal = _refusal(member, limits)
                if refusal:
                    report(DataError(refusal, path=name, advice="The member is left out; remove it from the archive."))
                    continue
                content = archive.extractfile(member)
                data = content.read() if content else b""
                if len(data) != member.size:
                    raise tarfile.ReadError(f"{_printable(member.name)} ends early")
                yield Document(name, str(path), data)
    except DataError as error:
        report(error)
    except DAMAGE as error:
        report(damaged(str(path), error, f" after {count} members"))


def _printable(name: str) -> str:
    """A member's name that a terminal can show and that no encoding chokes on."""
    return "".join(letter if letter.isprintable() else "?" for letter in name)


def _refusal(member: tarfile.TarInfo, limits: Limits) -> str:
    """Why a member is not read, or nothing."""
    parts = PurePosixPath(member.name.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts:
        return "the member's name leads out of the archive"
    if not member.isreg() or member.issparse():
        return "the member is a link, a device or a sparse file, not a plain one"
    if member.size > limits.member_bytes:
        return f"the member has {member.size} bytes, more than the {limits.member_bytes} that a light curve may have"
    return ""
