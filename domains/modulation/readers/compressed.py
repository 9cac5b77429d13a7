"""The bytes of plain, gzip, xz and bzip2 files, under a limit on what they may unfold to."""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from armillary.core.errors import DataError

MEGABYTE = 1 << 20
# Samples hardly compress: real sets of frames stay below a ratio of 3, text pickles of them below 10.
RATIO = 100
FREE_BYTES = 64 * MEGABYTE  # what any file may unfold to

# What decompressors and files raise on damaged input.
DAMAGE = (EOFError, lzma.LZMAError, zlib.error, OSError)
_OPENERS: dict[bytes, Callable[[io.BufferedIOBase], Any]] = {
    b"\x1f\x8b": lambda raw: gzip.GzipFile(fileobj=raw),
    b"\xfd7zXZ\x00": lambda raw: lzma.LZMAFile(raw),  # noqa: SIM115  # pyright: ignore[reportArgumentType]
    b"BZh": lambda raw: bz2.BZ2File(raw),
}


@contextmanager
def open_plain(path: Path) -> Generator[io.BufferedIOBase, None, None]:
    """The decompressed bytes of a file as a stream.

    Raises:
        DataError: the file cannot be read, is damaged, or unfolds to more than `RATIO` times its size.
    """
    try:
        with path.open("rb") as raw:
            head = raw.read(6)
            raw.seek(0)
            opener = next((opener for magic, opener in _OPENERS.items() if head.startswith(magic)), None)
            if opener is None:
                yield raw
                return
            limit = max(FREE_BYTES, RATIO * path.stat().st_size)
            with opener(raw) as stream:
                yield io.BufferedReader(_Bounded(stream, limit, path), MEGABYTE // 4)
    except DAMAGE as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: BaseException) -> DataError:
    """What to say of a file whose bytes cannot be had: the system refuses, or they are not what they should be."""
    if isinstance(error, OSError) and error.errno is not None:
        return DataError(f"cannot be read: {error.strerror}", path=path, advice="Check its permissions and the disk.")
    return DataError(
        f"is truncated or damaged: {error or type(error).__name__}",
        path=path,
        advice="Compare its size and checksum with where it came from, and fetch it again.",
    )


class _Bounded(io.RawIOBase):
    """Reads a stream and refuses to give more than `limit` bytes in all."""

    def __init__(self, stream: Any, limit: int, path: Path) -> None:
        self._stream, self._left, self._limit, self._path = stream, limit, limit, path

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        self._left -= len(data)
        if self._left < 0:
            raise DataError(
                f"unfolds to more than {self._limit} bytes, which no samples of its size do",
                path=self._path,
                advice="It may be a decompression bomb. If you trust it, unpack it yourself and give the file inside.",
            )
        buffer[: len(data)] = data
        return len(data)
