"""Headers and voxels of NIfTI, brought to one orientation, and back. nibabel is slow to import: import this late."""

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from jaxtyping import Float, Float32, Float64, Shaped
from nibabel.nifti1 import Nifti1Image, Nifti1Pair
from nibabel.nifti2 import Nifti2Image
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform

from armillary.core.errors import DataError
from armillary.domains.medical.readers.report import Report
from armillary.domains.medical.sources.grey import check_not_empty
from armillary.domains.medical.sources.guard import reading

# Columns count up to the patient's left, rows to the back, planes to the head: as axial slices of DICOM do, and as they
# are looked at.
_AXES = ("L", "P", "S")
_TO_MM = {"mm": 1.0, "unknown": 1.0, "meter": 1000.0, "micron": 0.001}
_SINGULAR = 1e-6  # volume that the axes of unit length span, below which they lie in a plane
# A stream of gzip unpacks to 1032 times its size at most.
_GZIP = 1032


def voxels(path: Path, report: Report | None = None) -> Float32[np.ndarray, "planes rows columns"]:
    """The file's own values in our orientation, read along its last axis a plane at a time.

    Raises:
        DataError: no NIfTI, damaged, of four dimensions, of colours, or a singular affine.
    """
    with reading(path, "NIfTI voxels"):
        image = _opened(path)
        affine, sizes = _affine(image, path), _file_shape(image, path)
        out = np.empty(_our_shape(affine, sizes), np.float32)
        back = ornt_transform(axcodes2ornt(_AXES), io_orientation(affine))
        view = apply_orientation(out.transpose(2, 1, 0), back)  # the same memory in the file's own order
        extra = (0,) * (len(image.shape) - 3)
        for place in range(sizes[2]):
            here = (slice(None), slice(None), place)[: len(image.shape)]
            view[:, :, place] = np.asarray(image.dataobj[(*here, *extra)]).reshape(sizes[:2])
    header: Any = image.header
    if report is not None and not (header["qform_code"] or header["sform_code"]):
        problem = "does not tell how it lies in the patient (qform and sform are 0)"
        advice = "Its axes are taken as right to left, back to front, feet to head: check the pictures."
        report(DataError(problem, path=path, advice=advice))
    return out


def shape_of(path: Path) -> tuple[int, int, int]:
    """(planes, rows, columns) by the header; a file that looks cut off is read, to see whether it is."""
    with reading(path, "NIfTI"):
        image = _opened(path)
        if not _has_end(image, path):
            voxels(path)
        return _our_shape(_affine(image, path), _file_shape(image, path))


def affine_of(path: Path) -> Float64[np.ndarray, "4 4"]:
    """From our (column, row, plane, 1) to millimetres right, anterior, superior."""
    with reading(path, "NIfTI"):
        image = _opened(path)
        affine = _affine(image, path)
        return affine @ inv_ornt_aff(_turn(affine), _file_shape(image, path))


def orientation_of(path: Path) -> str:
    """Where the axes of the file itself point, such as "RAS"."""
    with reading(path, "NIfTI"):
        return "".join(nibabel.aff2axcodes(_affine(_opened(path), path)))


def nifti_of(
    volume: Shaped[np.ndarray, "planes rows columns"], affine: Float[np.ndarray, "4 4"], orientation: str = "LPS"
) -> Nifti1Image:
    """A volume (planes, rows, columns) with its `affine` as NIfTI, turned back to where a file's own axes point.

    The inverse of reading: given a source's affine and orientation, voxels lie where they lie in the file.
    """
    image = Nifti1Image(np.ascontiguousarray(volume.transpose(2, 1, 0)), np.asarray(affine, np.float64))
    image.header.set_xyzt_units("mm")
    turn = ornt_transform(io_orientation(image.affine), axcodes2ornt(tuple(orientation)))
    return image.as_reoriented(turn)  # pyright: ignore[reportArgumentType, reportReturnType]


def _opened(path: Path) -> Any:
    """The image with its header read."""
    image = nibabel.load(path, keep_file_open=path.name.lower().endswith(".gz"))
    if not isinstance(image, Nifti1Pair | Nifti2Image):
        raise DataError(f"is {type(image).__name__}, expected NIfTI", path=path, advice="Convert it to .nii.gz.")
    _check_values(image, path)
    return image


def _check_values(image: Any, path: Path) -> None:
    kind = image.get_data_dtype()
    if kind.kind not in "iuf":
        raise DataError(f"has voxels of type {kind}; expected one number each", path=path, advice="Convert it to grey.")
    shape = _file_shape(image, path)
    packed = path.name.lower().endswith((".gz", ".bz2", ".zst"))
    wanted, there = int(np.prod(shape, dtype=object)) * kind.itemsize, path.stat().st_size * (_GZIP if packed else 1)
    # A pair has its voxels in a file of its own.
    if path.suffix.lower() not in (".hdr", ".img") and wanted > there:
        raise DataError(
            f"says it has {' x '.join(map(str, shape))} voxels ({wanted} bytes), and the file has {there} at most",
            path=path, advice="The file is damaged or incomplete: copy it again.",
        )  # fmt: skip


def _has_end(image: Any, path: Path) -> bool:
    """Whether a stream of gzip says of itself that it unpacks to all voxels; others are measured when opened."""
    if not path.name.lower().endswith(".gz"):
        return True
    with path.open("rb") as stream:
        stream.seek(-4, 2)
        unpacked = int.from_bytes(stream.read(), "little")
    wanted = int(image.dataobj.offset) + int(np.prod(image.shape, dtype=object)) * image.get_data_dtype().itemsize
    return unpacked == wanted % (1 << 32)


def _file_shape(image: Any, path: Path) -> tuple[int, int, int]:
    """Voxels along the file's own three axes."""
    shape = tuple(int(size) for size in image.shape)
    check_not_empty(shape, path)
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) > 3:
        raise DataError(
            f"has {len(shape)} dimensions ({' x '.join(map(str, shape))}); expected a volume of 3", path=path,
            advice="Store each time or channel as a file of its own: nibabel.four_to_three cuts them apart.",
        )  # fmt: skip
    return (*shape, 1, 1, 1)[:3]  # pyright: ignore[reportReturnType]


def _affine(image: Any, path: Path) -> Float64[np.ndarray, "4 4"]:
    """From indices in the file to millimetres."""
    affine = np.array(image.affine, np.float64)
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    sound = np.isfinite(affine).all() and lengths.min() > 0
    if not sound or abs(np.linalg.det(affine[:3, :3] / lengths)) < _SINGULAR:
        raise DataError(
            f"has a singular affine ({np.array2string(affine[:3, :3].ravel(), precision=3)})", path=path,
            advice="Its axes do not span a volume: correct the sform or qform.",
        )  # fmt: skip
    affine[:3] *= _TO_MM[image.header.get_xyzt_units()[0]]
    return affine


def _turn(affine: Float64[np.ndarray, "4 4"]) -> np.ndarray:
    """How the file's axes become (column, row, plane)."""
    return ornt_transform(io_orientation(affine), axcodes2ornt(_AXES))


def _our_shape(affine: Float64[np.ndarray, "4 4"], sizes: tuple[int, int, int]) -> tuple[int, int, int]:
    turn = _turn(affine)[:, 0].astype(int).tolist()
    columns, rows, planes = (sizes[turn.index(axis)] for axis in range(3))
    return planes, rows, columns
