"""Compressed files whose bytes depend on their content alone: no clock, no user, no file name inside."""

import gzip
import io
import lzma
import tarfile
from collections.abc import Mapping
from pathlib import Path


def write_gzip(path: Path, text: str) -> None:
    """Write text as UTF-8, gzip-compressed where the name ends in .gz."""
    data = text.encode()
    path.write_bytes(gzip.compress(data, compresslevel=6, mtime=0) if path.suffix == ".gz" else data)


def write_tar(path: Path, members: Mapping[str, str]) -> None:
    """Pack texts by name into a .tar.gz or .tar.xz archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, text in members.items():
            data = text.encode()
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = len(data), 0o644, 0
            archive.addfile(info, io.BytesIO(data))
    plain = buffer.getvalue()
    path.write_bytes(lzma.compress(plain, preset=6) if path.suffix == ".xz" else gzip.compress(plain, 6, mtime=0))
