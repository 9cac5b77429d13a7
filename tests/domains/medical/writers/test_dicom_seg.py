"""Masks of DICOM as segmentation objects, read back by pydicom."""

import importlib

import numpy as np
import pydicom
import pytest
from numpy.testing import assert_array_equal
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from armillary.core.domain import ReadOptions
from armillary.core.errors import DataError, MissingExtraError
from armillary.domains.medical.notice import NOTICE
from armillary.domains.medical.read import read
from armillary.domains.medical.write import write
from armillary.domains.medical.writers.dicom_seg import write_dicom_seg

CT, DX = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.1.1"
pytest.importorskip("highdicom")


def write_slice(path, number: int, series: str, kind: str = CT, shape: tuple[int, int] = (16, 20)) -> None:
    """One plane whose grey values are its number; slices are written from the head down."""
    dataset = pydicom.Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = kind
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
    dataset.PatientName, dataset.PatientID, dataset.PatientSex = "Anonymous", "", "O"
    dataset.PatientBirthDate = dataset.StudyDate = dataset.StudyTime = dataset.AccessionNumber = ""
    dataset.ReferringPhysicianName, dataset.StudyID = "", "1"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(entropy_srcs=[series, "study"]), series
    dataset.SeriesNumber, dataset.InstanceNumber = 1, number + 1
    dataset.Modality = "CT" if kind == CT else "DX"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    if kind == CT:
        dataset.FrameOfReferenceUID = generate_uid(entropy_srcs=[series, "frame"])
        dataset.ImagePositionPatient = [0, 0, 30 - 3 * number]
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        dataset.PixelSpacing, dataset.SliceThickness = [0.5, 0.5], 3
    dataset.Rows, dataset.Columns = shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.PixelData = (100 * number + np.arange(shape[0] * shape[1], dtype=np.uint16)).tobytes()
    dataset.save_as(path, enforce_file_format=True)


@pytest.fixture
def series(tmp_path):
    """A folder with five slices of one series and one of another."""
    folder = tmp_path / "in"
    folder.mkdir()
    own, other = generate_uid(), generate_uid()
    for number in range(5):
        write_slice(folder / f"slice{number}.dcm", number, own)
    write_slice(folder / "stray.dcm", 0, other)
    return folder


def test_a_series_gets_one_object_with_a_segment_for_each_structure(series, tmp_path):
    chunks = list(read([series], ReadOptions(report=lambda _: None)))
    chunk = next(chunk for chunk in chunks if "plane" in chunk.dims)
    found = np.zeros((1, 2, 5, 16, 20), np.float32)
    found[0, 0, 1, 2:6, 3:8] = 1
    found[0, 1, :, 10:12] = 1
    prediction = (
        chunk.drop_vars("image")
        .assign(probability=(("item", "structure", "plane", "row", "column"), found))
        .assign_coords(structure=["left_lung", "my structure"])
    )
    write(prediction, tmp_path / "out")
    (made,) = (tmp_path / "out").glob("*_seg.dcm")
    dataset = pydicom.dcmread(made)
    assert dataset.Modality == "SEG"
    assert (dataset.ContentDescription, dataset.SeriesDescription) == (NOTICE, NOTICE)
    assert [segment.SegmentLabel for segment in dataset.SegmentSequence] == ["left_lung", "my structure"]
    codes = [segment.SegmentedPropertyTypeCodeSequence[0] for segment in dataset.SegmentSequence]
    assert [code.CodingSchemeDesignator for code in codes] == ["SCT", "99ARMILLARY"]
    planes = _planes(dataset)
    # The lowest plane was read first: plane 1 lies at 30 - 3 * 3 = 21 mm.
    assert_array_equal(planes[1, 21.0], found[0, 0, 1])
    assert sum(plane.any() for (segment, _), plane in planes.items() if segment == 1) == 1
    assert sum(plane.any() for (segment, _), plane in planes.items() if segment == 2) == 5
    references = {
        item.ReferencedSOPInstanceUID for item in dataset.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    }
    assert references == {pydicom.dcmread(path).SOPInstanceUID for path in series.glob("slice*.dcm")}
    assert len(list((tmp_path / "out").glob("*_left_lung.nii.gz"))) == 1


def _planes(dataset: pydicom.Dataset) -> dict[tuple[int, float], np.ndarray]:
    """Each frame by its segment and height [mm]."""
    return {
        (
            frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber,
            float(frame.PlanePositionSequence[0].ImagePositionPatient[2]),
        ): plane
        for frame, plane in zip(dataset.PerFrameFunctionalGroupsSequence, dataset.pixel_array, strict=True)
    }


def test_a_film_that_lies_nowhere_gets_its_object_too(tmp_path):
    write_slice(tmp_path / "film.dcm", 1, generate_uid(), DX)
    (chunk,) = read([tmp_path / "film.dcm"], ReadOptions(report=lambda _: None))
    found = np.zeros((1, 1, 16, 20), np.float32)
    found[0, 0, 4:9, 5:11] = 1
    prediction = chunk.drop_vars("image").assign(probability=(("item", "structure", "row", "column"), found))
    write(prediction.assign_coords(structure=["heart"]), tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "film_heart.png", "film_overlay.png", "film_seg.dcm", "predictions.csv",
    }  # fmt: skip
    assert_array_equal(np.squeeze(pydicom.dcmread(tmp_path / "out" / "film_seg.dcm").pixel_array), found[0, 0])


def test_without_the_package_the_message_says_how_to_get_it(tmp_path, monkeypatch):
    def absent(name: str, *rest: object) -> object:
        if name.startswith("highdicom"):
            raise ImportError(name)
        return real(name, *rest)

    real = importlib.import_module
    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(MissingExtraError, match=r"'highdicom'.*\n.*armillary\[dicomseg\]"):
        write_dicom_seg(tmp_path / "x.dcm", np.zeros((1, 4, 4), np.bool_), ["heart"], tmp_path / "source.dcm")


def test_masks_of_another_size_are_refused(tmp_path):
    write_slice(tmp_path / "film.dcm", 1, generate_uid(), DX)
    with pytest.raises(DataError, match=r"has 1 x 16 x 20 planes, rows and columns, its masks 1 x 4 x 4"):
        write_dicom_seg(tmp_path / "x.dcm", np.zeros((1, 4, 4), np.bool_), ["heart"], tmp_path / "film.dcm")
    assert not (tmp_path / "x.dcm").exists()
