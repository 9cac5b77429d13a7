"""Fabricated files of each kind, some of them hostile."""

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, generate_uid

from armillary.core.errors import DataError

WriteDicom = Callable[..., Path]
WriteNifti = Callable[..., Path]


@pytest.fixture
def told() -> list[DataError]:
    """What was reported; hand in `told.append`."""
    return []


@pytest.fixture
def write_dicom(tmp_path: Path) -> WriteDicom:
    """Writes pixels (rows, columns) or (frames, rows, columns[, 3]); other elements by keyword, None for none."""

    def write(
        name: str, pixels: np.ndarray | None, *, syntax: UID = ExplicitVRLittleEndian, **elements: object
    ) -> Path:
        dataset = Dataset()
        dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, generate_uid()
        dataset.Modality, dataset.PhotometricInterpretation = "OT", "MONOCHROME2"
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        if pixels is not None:
            _add_pixels(dataset, pixels)
        for keyword, value in elements.items():
            if value is None:
                delattr(dataset, keyword)
            else:
                setattr(dataset, keyword, value)
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        dataset.save_as(path, enforce_file_format=True)
        return path

    return write


def _add_pixels(dataset: Dataset, pixels: np.ndarray) -> None:
    colour = pixels.shape[-1] == 3
    size = pixels.shape[-3:-1] if colour else pixels.shape[-2:]
    dataset.Rows, dataset.Columns = size
    if pixels.ndim - colour == 3:
        dataset.NumberOfFrames = len(pixels)
    dataset.SamplesPerPixel = 3 if colour else 1
    if colour:
        dataset.PlanarConfiguration, dataset.PhotometricInterpretation = 0, "RGB"
    bits = pixels.dtype.itemsize * 8
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PixelData = pixels.tobytes()


@pytest.fixture
def write_slices(write_dicom: WriteDicom) -> Callable[..., list[Path]]:
    """Writes a series of axial slices at heights [mm]; the value of slice i is its place in `heights`."""

    def write(heights: list[float], series: str = "1.2.3", **elements: object) -> list[Path]:
        return [
            write_dicom(
                f"{series}/{place:02d}.dcm",
                np.full((4, 5), place, np.int16),
                **{
                    "Modality": "CT", "SeriesInstanceUID": series, "InstanceNumber": place + 1,
                    "ImagePositionPatient": [-10.0, -20.0, height], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
                    "PixelSpacing": [0.5, 0.7], "SliceThickness": 2.0, "WindowCenter": 4, "WindowWidth": 9,
                    "PatientIdentityRemoved": "YES", **elements,
                },
            )
            for place, height in enumerate(heights)
        ]  # fmt: skip

    return write


@pytest.fixture
def write_nifti(tmp_path: Path) -> WriteNifti:
    """Writes values with the file's own axes."""

    def write(name: str, values: np.ndarray, affine: np.ndarray | None = None) -> Path:
        path = tmp_path / name
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4) if affine is None else affine), path)
        return path

    return write
