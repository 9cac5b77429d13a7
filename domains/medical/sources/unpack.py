"""Large arrays of an .npz, unpacked once into the cache so that they can be mapped instead of held in memory."""

import hashlib
import shutil
import zipfile
from pathlib import Path

from armillary.core.errors import DataError
from armillary.core.files import atomic_write
from armillary.core.paths import cache_root

LARGE = 256 << 20  # bytes from which an array is unpacked to disk


def unpacked(archive: zipfile.ZipFile, name: str, path: Path) -> Path:
    """The member as a file of its own in the cache; made anew when the archive has changed.

    Raises:
        DataError: the disk has not twice the room for it.
    """
    status, info = path.stat(), archive.getinfo(name)
    told = f"{path.resolve()}\0{name}\0{status.st_mtime_ns}\0{status.st_size}\0{info.CRC}"
    digest = hashlib.blake2b(told.encode("utf-8", "surrogateescape"), digest_size=12).hexdigest()
    target = cache_root() / "medical" / "arrays" / f"{digest}.npy"
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(target.parent).free
    if info.file_size > free // 2:
        raise DataError(
            f"'{name}' unpacks to {info.file_size / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free in {target.parent}",
            path=path, advice="Make room for twice as much, or set ARMILLARY_CACHE to a larger disk.",
        )  # fmt: skip
    with atomic_write(target) as temporary, archive.open(name) as packed, temporary.open("wb") as out:
        shutil.copyfileobj(packed, out, 1 << 20)
    return target
