"""Which kind of image file a file is, by its first bytes."""

import gzip
from pathlib import Path
from typing import Literal

from armillary.core.errors import DataError

Kind = Literal["raster", "dicom", "nifti", "array"]
KNOWN = "PNG, JPEG, TIFF or BMP, DICOM, NIfTI (.nii, .nii.gz), or arrays of NumPy (.npz, .npy)"
_SUFFIXES: dict[str, Kind] = {
    ".png": "raster", ".jpg": "raster", ".jpeg": "raster", ".tif": "raster", ".tiff": "raster", ".bmp": "raster",
    ".dcm": "dicom", ".dicom": "dicom", ".ima": "dicom", ".nii": "nifti", ".nii.gz": "nifti", ".npz": "array",
    ".npy": "array",
}  # fmt: skip
_STARTS: tuple[tuple[bytes, Kind], ...] = (
    (b"\x89PNG\r\n\x1a\n", "raster"), (b"\xff\xd8\xff", "raster"), (b"II*\0", "raster"), (b"MM\0*", "raster"),
    (b"BM", "raster"), (b"\x93NUMPY", "array"), (b"PK\x03\x04", "array"),
)  # fmt: skip
_DICOM_AT, _NIFTI_AT = 128, 344
_NIFTI_MAGIC = (b"n+1\0", b"ni1\0")
_NIFTI2 = (b"n+2\0", b"ni2\0")
_HEAD = 512


def named_kind(path: Path) -> Kind | None:
    """The kind that a file's name tells; None for another name."""
    name = path.name.lower()
    return next((kind for suffix, kind in _SUFFIXES.items() if name.endswith(suffix)), None)


def sniff(path: Path) -> Kind:
    """The kind of a file.

    Raises:
        DataError: it cannot be opened, is empty, or none that is known.
    """
    head = _head(path)
    if head[_DICOM_AT : _DICOM_AT + 4] == b"DICM":
        return "dicom"
    if _is_nifti(head) or (head.startswith(b"\x1f\x8b") and _is_nifti(_unpacked_head(path))):
        return "nifti"
    for start, kind in _STARTS:
        if head.startswith(start):
            return kind
    raise DataError("is no image of a known kind", path=path, advice=f"Expected {KNOWN}.")


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEAD)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no path"
        raise DataError(f"cannot be opened ({reason})", path=path, advice="Check the path.") from error
    if not head:
        raise DataError("is empty (0 bytes)", path=path, advice="Copy or export it again.")
    return head


def _unpacked_head(path: Path) -> bytes:
    try:
        with gzip.open(path) as stream:
            return stream.read(_HEAD)
    except (OSError, EOFError, ValueError) as error:
        raise DataError("is a damaged gzip file", path=path, advice="Copy it again.") from error


def _is_nifti(head: bytes) -> bool:
    return head[_NIFTI_AT : _NIFTI_AT + 4] in _NIFTI_MAGIC or head[4:8] in _NIFTI2
