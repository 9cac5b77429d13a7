"""What a DICOM file says of its image: its size, where its planes lie in the patient, and whom it names."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from armillary.core.errors import DataError
from armillary.domains.medical.readers.report import Report
from armillary.domains.medical.sources.grey import check_not_empty
from armillary.domains.medical.sources.guard import reading

_DEFERRED = "4 KB"  # longer values, pixels above all, stay in the file
_IDENTITY = ("PatientName", "PatientBirthDate", "PatientID")
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_MOST_BYTES = 4 << 30  # of decoded pixels in one file
_PLAIN = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)  # neither compressed nor deflated
_NAN = float("nan")
_ADVICE = "Expected a DICOM file with its preamble (128 bytes and 'DICM'), whole."


@dataclass(frozen=True)
class Frame:
    """One plane of a file.

    position: of the centre of its first pixel; along_row, along_column: unit vectors in which columns and rows count
    up [mm, DICOM's axes: left, posterior, superior]; empty where the file does not tell. spacing_mm: of rows, of
    columns. between_mm: to the next plane, by its own words.
    """

    path: Path
    number: int
    series: str
    size: tuple[int, int]
    instance: int
    position: tuple[float, ...]
    along_row: tuple[float, ...]
    along_column: tuple[float, ...]
    spacing_mm: tuple[float, float]
    between_mm: float

    @property
    def placed(self) -> bool:
        """Whether it is told where the plane lies."""
        return bool(self.position and self.along_row)


def read_dicom(path: Path, *, pixels: bool) -> Dataset:
    """The file's elements; without `pixels` long ones stay where they are.

    Raises:
        DataError: it is no DICOM file, or one without an image. It never quotes the file, which may name a patient.
    """
    with reading(path, "DICOM", private=True, advice=_ADVICE):
        dataset = pydicom.dcmread(path, defer_size=None if pixels else _DEFERRED)
        _check_image(dataset, path)
        return dataset


def frames_of(path: Path) -> list[Frame]:
    """The planes of a file in its own order, from the header alone.

    Raises:
        DataError: as `read_dicom`.
    """
    dataset = read_dicom(path, pixels=False)
    with reading(path, "DICOM", private=True, advice=_ADVICE):
        return [_frame(dataset, path, number) for number in range(num_frames(dataset))]


def num_frames(dataset: Dataset) -> int:
    """Planes in a file."""
    return int(dataset.get("NumberOfFrames") or 1)


def of_frame(dataset: Dataset, number: int, group: str, keyword: str) -> Any:
    """An attribute of one frame: its own, that of all frames, or the file's; None where there is none."""
    frames = dataset.get("PerFrameFunctionalGroupsSequence") or []
    owners = [*frames[number : number + 1], *(dataset.get("SharedFunctionalGroupsSequence") or [])]
    for owner in owners:
        for entry in owner.get(group) or []:
            if entry.get(keyword) is not None:
                return entry.get(keyword)
    return dataset.get(keyword)


def report_identity(dataset: Dataset, path: Path, report: Report) -> None:
    """Reports a file that names a patient and is not marked as de-identified; it never says the name."""
    if str(dataset.get("PatientIdentityRemoved") or "").strip().upper() == "YES":
        return
    named = [keyword for keyword in _IDENTITY if str(dataset.get(keyword) or "").strip()]
    if named:
        report(
            DataError(
                f"names a patient ({', '.join(named)}) and is not marked PatientIdentityRemoved",
                path=path,
                advice="It is read all the same, and nothing of these is kept. De-identify it before it is shared.",
            )
        )


def _check_image(dataset: Dataset, path: Path) -> None:
    if not any(keyword in dataset for keyword in _PIXELS) or "Rows" not in dataset or "Columns" not in dataset:
        kind = getattr(dataset.get("SOPClassUID"), "name", "") or "unknown kind"
        raise DataError(
            f"holds no pixels ({kind})", path=path, advice="Reports and plans have none: give the images themselves."
        )
    rows, columns, frames = int(dataset.Rows), int(dataset.Columns), num_frames(dataset)
    check_not_empty((frames, rows, columns), path)
    values = rows * columns * frames * int(dataset.get("SamplesPerPixel") or 1)
    size = values * -(-int(dataset.get("BitsAllocated") or 8) // 8)
    if size > _MOST_BYTES:
        raise DataError(
            f"says it holds {frames} frames of {rows} x {columns} pixels ({size / 1e9:.1f} GB); at most "
            f"{_MOST_BYTES / 1e9:.1f} GB are read", path=path, advice="Cut the file into several.",
        )  # fmt: skip
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    # Of colours with half as many of their columns, only two bytes of three are stored.
    half = "422" in str(dataset.get("PhotometricInterpretation") or "")
    least = values * int(dataset.get("BitsAllocated") or 8) // 8 * (2 if half else 3) // 3
    if syntax in _PLAIN and least > path.stat().st_size:
        raise DataError(
            f"is cut off: {least} bytes of pixels, and the file has {path.stat().st_size}",
            path=path,
            advice="Copy or export it again.",
        )


def _frame(dataset: Dataset, path: Path, number: int) -> Frame:
    position = _numbers(of_frame(dataset, number, "PlanePositionSequence", "ImagePositionPatient"), 3)
    orientation = _numbers(of_frame(dataset, number, "PlaneOrientationSequence", "ImageOrientationPatient"), 6)
    return Frame(
        path, number, str(dataset.get("SeriesInstanceUID") or ""), (int(dataset.Rows), int(dataset.Columns)),
        int(dataset.get("InstanceNumber") or 0), position, orientation[:3], orientation[3:],
        _pixel_spacing(dataset, number), _between(dataset, number),
    )  # fmt: skip


def _pixel_spacing(dataset: Dataset, number: int) -> tuple[float, float]:
    """In the patient; of a film, else, at the detector, where things look larger than they are."""
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        found = _numbers(of_frame(dataset, number, "PixelMeasuresSequence", keyword), 2)
        if found and min(found) > 0:
            return found[0], found[1]
    return _NAN, _NAN


def _between(dataset: Dataset, number: int) -> float:
    for keyword in ("SpacingBetweenSlices", "SliceThickness"):
        found = of_frame(dataset, number, "PixelMeasuresSequence", keyword)
        if found and math.isfinite(float(found)) and float(found) > 0:
            return float(found)
    return _NAN


def _numbers(value: Sequence[Any] | None, count: int) -> tuple[float, ...]:
    """The numbers of an element, or () where there are not `count` finite ones."""
    numbers = tuple(float(part) for part in value) if value is not None else ()
    return numbers if len(numbers) == count and all(map(math.isfinite, numbers)) else ()
