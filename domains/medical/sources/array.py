"""Images in an array of an .npz or .npy file, the layout of MedMNIST: one image a row."""

import zipfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Shaped

from armillary.core.errors import DataError, near_miss
from armillary.domains.medical.readers.report import Report
from armillary.domains.medical.sources.grey import check_not_empty, tell_strange, unit_range
from armillary.domains.medical.sources.guard import reading
from armillary.domains.medical.sources.source import unknown_spacing
from armillary.domains.medical.sources.unpack import LARGE, unpacked
from armillary.domains.medical.sources.warn import warn

_KEPT = 8  # arrays open at once in a process: images and masks of three splits


@dataclass(frozen=True)
class ArraySource:
    """Image `index` of the array `key`: (n, rows, columns) or (n, planes, rows, columns), [..., 3] for colour.

    The array is read once in a process, whoever asks; what is larger than 256 MiB is unpacked once into the cache and
    mapped from there. Files with Python objects are refused.
    """

    path: Path
    key: str
    index: int

    def load(self, report: Report = warn) -> Float32[np.ndarray, "c *s"]:
        """Grey values in [0, 1].

        Raises:
            DataError: no such file, array or row, values of another type, or floats outside [0, 1].
        """
        item = f"{self.key}/{self.index}"
        values = np.asarray(_row(self.path, self.key, self.index))
        image = unit_range(values, self.path, item)
        image = np.ascontiguousarray(np.moveaxis(image, -1, 0)) if _is_colour(values.shape) else image[None]
        tell_strange(image, self.path, report, item)
        return image

    def shape(self) -> tuple[int, ...]:
        """Pixels along each axis."""
        shape = _row(self.path, self.key, self.index).shape
        return shape[:-1] if _is_colour(shape) else shape

    def spacing_mm(self) -> tuple[float, ...]:
        """NaN: arrays do not tell."""
        return unknown_spacing(len(self.shape()))


@dataclass(frozen=True)
class ArrayMask:
    """Mask `index` of the array `key`, (n, *s): what is not 0, or what equals `value`."""

    path: Path
    key: str
    index: int
    value: int | None = None

    def load(self, report: Report = warn) -> Float32[np.ndarray, " *s"]:
        """1 inside the structure, 0 outside.

        Raises:
            DataError: no such file, array or row, or values that are NaN.
        """
        values = np.asarray(_row(self.path, self.key, self.index))
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise DataError("holds a mask with NaN or infinity", path=self.path, item=f"{self.key}/{self.index}")
        return (values != 0 if self.value is None else values == self.value).astype(np.float32)

    def shape(self) -> tuple[int, ...]:
        """Pixels along each axis."""
        return _row(self.path, self.key, self.index).shape

    def spacing_mm(self) -> tuple[float, ...]:
        """NaN: arrays do not tell."""
        return unknown_spacing(len(self.shape()))


def open_array(path: Path, key: str) -> Shaped[np.ndarray, "n *s"]:
    """The array `key` of an .npz, or the only one of an .npy (key ""), shared by all who ask in this process.

    Raises:
        DataError: it is not there, is no array of numbers, or cannot be read.
    """
    with reading(path, "arrays of NumPy"):
        status = path.stat()
        return _open(path, key, status.st_mtime_ns, status.st_size)


def keys_of(path: Path) -> dict[str, tuple[int, ...]]:
    """Shape of each array in a file by its key, from the headers alone; "" for an .npy.

    Raises:
        DataError: the file holds no arrays.
    """
    with reading(path, "arrays of NumPy"):
        if not zipfile.is_zipfile(path):
            return {"": np.load(path, mmap_mode="r", allow_pickle=False).shape}
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".npy")]
            return {name.removesuffix(".npy"): _header(archive, name)[0] for name in names}


def image_keys(path: Path) -> list[str]:
    """The arrays of a file that hold images: those called so, else the only one.

    Raises:
        DataError: there is no telling which, or an array is no stack of images.
    """
    shapes = keys_of(path)
    chosen = [key for key in shapes if "image" in key.lower()] or list(shapes)
    if len(chosen) > 1 and not all("image" in key.lower() for key in chosen):
        raise DataError(
            f"holds the arrays {', '.join(shapes)}; none is called images", path=path, advice="Call one 'images'."
        )
    flat = [key for key in chosen if len(shapes[key]) < 3]
    if flat or not chosen:
        told = f"'{flat[0]}' has the shape {shapes[flat[0]]}" if flat else "holds no array"
        raise DataError(
            f"{told}; expected images (n, rows, columns)", path=path, advice="Put one image in a stack of 1."
        )
    return chosen


def _is_colour(shape: tuple[int, ...]) -> bool:
    return len(shape) > 2 and shape[-1] == 3


def _row(path: Path, key: str, index: int) -> Shaped[np.ndarray, " *s"]:
    array = open_array(path, key)
    if not 0 <= index < len(array):
        raise DataError(f"'{key}' has {len(array)} images; there is no number {index}", path=path)
    row = array[index]
    check_not_empty(row.shape, path, f"{key}/{index}")
    if row.ndim - _is_colour(row.shape) not in (2, 3):
        raise DataError(
            f"'{key}' has rows of shape {row.shape}; expected (rows, columns) or (planes, rows, columns), with 3 "
            "colours last", path=path,
        )  # fmt: skip
    return row


@lru_cache(_KEPT)
def _open(path: Path, key: str, changed: int, size: int) -> np.ndarray:
    """changed, size: of the file, so that one that is written anew is read anew."""
    if not zipfile.is_zipfile(path):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    else:
        with zipfile.ZipFile(path) as archive:
            _check_member(archive, path, key)
            name = f"{key}.npy"
            if archive.getinfo(name).file_size > LARGE:
                array = np.load(unpacked(archive, name, path), mmap_mode="r", allow_pickle=False)
            else:
                with archive.open(name) as stream:
                    array = np.lib.format.read_array(stream, allow_pickle=False)
    if array.ndim < 2 or array.dtype.kind not in "buif":
        raise DataError(f"'{key}' is an array of {array.dtype} with {array.ndim} axes; expected images", path=path)
    array.flags.writeable = False
    return array


def _check_member(archive: zipfile.ZipFile, path: Path, key: str) -> None:
    """Whether the array is there and its header asks for no more memory than the archive has for it."""
    keys = [name.removesuffix(".npy") for name in archive.namelist()]
    if key not in keys:
        raise DataError(f"holds no array '{key}'{near_miss(key, keys)}", path=path)
    shape, kind, header = _header(archive, f"{key}.npy")
    if kind.hasobject:
        raise DataError(f"'{key}' holds Python objects, which are never loaded", path=path, advice="Store numbers.")
    wanted = header + kind.itemsize * int(np.prod([int(size) for size in shape], dtype=object))
    there = archive.getinfo(f"{key}.npy").file_size
    if wanted != there:
        raise DataError(
            f"'{key}' says it has the shape {shape} of {kind} ({wanted} bytes), and {there} bytes are there", path=path,
            advice="The file is damaged or incomplete: get it again.",
        )  # fmt: skip


def _header(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype, int]:
    """Shape, type and length of the header of a member."""
    with archive.open(name) as stream:
        version = np.lib.format.read_magic(stream)
        readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in readers:
            raise ValueError(f"version {version} of the array format is not read")
        shape, _, kind = readers[version](stream)
        return shape, kind, stream.tell()
