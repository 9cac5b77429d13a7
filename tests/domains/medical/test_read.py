"""Files and folders to predict: images of one size in a chunk, series put together, bad files by name."""

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest
import xarray as xr
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from armillary.core.domain import ReadOptions
from armillary.core.errors import DataError
from armillary.domains.medical import read as module
from armillary.domains.medical.read import read
from armillary.domains.medical.settings import MedicalPredict

RNG = np.random.default_rng(0)


def grey(*size: int) -> np.ndarray:
    return RNG.integers(20, 255, size, np.uint8)


def run(*paths: Path, chunk_items: int = 1024, **settings: object) -> tuple[list[xr.Dataset], list[DataError]]:
    told: list[DataError] = []
    options = ReadOptions(told.append, chunk_items, MedicalPredict(**settings))  # pyright: ignore[reportArgumentType]
    return list(read(list(paths), options)), told


def write_dicom(path: Path, pixels: np.ndarray, height: float | None = None) -> Path:
    path.parent.mkdir(exist_ok=True)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, f"1.2.{abs(hash(path)) % 10**9}"
    dataset.Modality, dataset.PhotometricInterpretation, dataset.SeriesInstanceUID = "CT", "MONOCHROME2", "1.2.3"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 1
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelSpacing = [0.5, 0.75]
    if height is not None:
        dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0, 0, height], [1, 0, 0, 0, 1, 0]
    dataset.PixelData = pixels.astype(np.int16).tobytes()
    dataset.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures of two sizes, a mask, tables, a hidden file, and files that are not what their name says."""
    home = tmp_path / "in"
    (home / "sub").mkdir(parents=True)
    for name, size in {"a.png": (8, 9), "b.jpg": (8, 9), "sub/a.png": (8, 9), "c.tif": (5, 6)}.items():
        Image.fromarray(grey(*size)).save(home / name)
    Image.fromarray(grey(8, 9) > 99).save(home / "mask.png")
    Image.fromarray(grey(8, 9)).save(home / ".hidden.png")
    (home / "table.csv").write_text("a,b\n")
    (home / "empty.png").write_bytes(b"")
    (home / "nonsense.dcm").write_bytes(b"nonsense" * 50)
    cut = home / "cut.jpg"
    Image.fromarray(grey(64, 64)).save(cut)
    cut.write_bytes(cut.read_bytes()[:1500])
    return home


def test_a_folder_is_searched_and_bad_files_are_told(folder: Path):
    chunks, told = run(folder)
    names = [name for chunk in chunks for name in chunk["item"].values.tolist()]
    assert sorted(names) == ["a.png", "b.jpg", "c.tif", "sub/a.png"]
    first = chunks[0]
    assert first["image"].dims == ("item", "channel", "row", "column")
    assert first["image"].dtype == np.float32
    assert (first["image"].attrs["units"], first["spacing_mm"].attrs["units"]) == ("1", "mm")
    assert first["file"].values[0] == str(folder / "a.png")
    assert first.attrs == {"kind": "raster"}
    text = "\n".join(map(str, told))
    assert len(told) == 4
    for words in (
        "empty.png: is empty",
        "nonsense.dcm",
        "cut.jpg: cannot be read",
        "pictures of one bit are taken for masks (1)",
    ):
        assert words in text


def test_images_of_one_size_share_a_chunk_up_to_its_limits(folder: Path, monkeypatch: pytest.MonkeyPatch):
    paths = [folder / "a.png", folder / "sub" / "a.png", folder / "b.jpg", folder / "c.tif"]
    assert [chunk.sizes["item"] for chunk in run(*paths)[0]] == [3, 1]
    assert [chunk.sizes["item"] for chunk in run(*paths, chunk_items=2)[0]] == [2, 1, 1]
    monkeypatch.setattr(module, "_CHUNK_BYTES", 8 * 9 * 4 * 2)
    assert [chunk.sizes["item"] for chunk in run(*paths)[0]] == [2, 1, 1]


def test_a_file_given_twice_is_read_once_and_a_mask_given_itself_is_read(folder: Path):
    chunks, told = run(folder / "a.png", folder / "a.png", folder / "mask.png")
    assert [name for chunk in chunks for name in chunk["item"].values.tolist()] == ["a.png", "mask.png"]
    assert not told


def test_what_is_no_image_is_one_clear_problem(tmp_path: Path):
    path = tmp_path / "nonsense.bin"
    path.write_bytes(bytes(range(256)) * 4)
    (tmp_path / "empty").mkdir()
    chunks, told = run(path, tmp_path / "gone", tmp_path / "empty")
    assert not chunks
    assert ["nonsense.bin: is no image" in str(told[0]), "does not exist" in str(told[1])] == [True, True]
    assert "holds no images" in str(told[2])


def test_slices_are_put_together_and_films_stay_alone(tmp_path: Path):
    for place in range(3):
        write_dicom(tmp_path / "ct" / f"{place}", np.full((4, 5), 100 * place), 2.0 * (2 - place))
    write_dicom(tmp_path / "ct" / "film.dcm", RNG.integers(0, 500, (6, 7)))
    chunks, told = run(tmp_path / "ct", window=(100.0, 201.0))
    assert not told
    volume, film = chunks
    assert volume["image"].dims == ("item", "channel", "plane", "row", "column")
    assert volume["image"].shape == (1, 1, 3, 4, 5)
    np.testing.assert_allclose(volume["image"][0, 0, :, 0, 0], [1.0, 0.5025, 0.0025], atol=0.01)
    assert volume["spacing_mm"].values.tolist() == [[2.0, 0.5, 0.75]]
    assert volume["axis"].values.tolist() == ["plane", "row", "column"]
    assert np.reshape(volume.attrs["affine"], (4, 4)).diagonal().tolist() == [-0.75, -0.5, 2.0, 1.0]
    assert (film["item"].values.tolist(), film["image"].shape) == (["film.dcm"], (1, 1, 6, 7))
    assert "affine" not in film.attrs


def test_volumes_come_with_their_affine(tmp_path: Path):
    image = nibabel.Nifti1Image(RNG.normal(0, 1, (3, 4, 5)).astype(np.float32), np.diag([1.0, 2.0, 3.0, 1.0]))
    for name in ("a.nii", "b.nii.gz"):
        nibabel.save(image, tmp_path / name)
    chunks, told = run(tmp_path)
    assert not told
    assert [chunk["image"].shape for chunk in chunks] == [(2, 1, 5, 4, 3)]
    assert chunks[0].attrs["orientation"] == "RAS"
    assert len(chunks[0].attrs["affine"]) == 16
    assert chunks[0]["spacing_mm"].values.tolist() == [[3.0, 2.0, 1.0]] * 2


def test_a_damaged_archive_is_told(tmp_path: Path):
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(bytes(5000))[:20])
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(bytes(5000)))
    chunks, told = run(tmp_path)
    assert not chunks
    assert ["a.nii.gz: is a damaged gzip file" in str(told[0]), "b.nii.gz: is no image" in str(told[1])] == [True, True]


def test_arrays_give_an_item_a_row_and_bad_rows_are_told(tmp_path: Path):
    images = RNG.random((5, 8, 9)).astype(np.float32)
    images[2] = np.nan
    np.savez(tmp_path / "set.npz", test_images=images, test_labels=np.zeros((5, 1), np.uint8))
    chunks, told = run(tmp_path / "set.npz", chunk_items=3)
    assert [chunk["item"].values.tolist() for chunk in chunks] == [
        ["set.npz/test_images/0", "set.npz/test_images/1", "set.npz/test_images/3"], ["set.npz/test_images/4"],
    ]  # fmt: skip
    assert "test_images/2" in str(told[0])
    assert len(told) == 1


@pytest.mark.real
def test_real_folders_are_read(data_root: Path):
    medical = data_root / "medical"
    chunks, told = run(medical / "nih_cxr14_mini" / "images", chunk_items=200)
    assert (sum(chunk.sizes["item"] for chunk in chunks), told) == (821, [])
    chunks, told = run(medical / "chase_db1")
    assert sum(chunk.sizes["item"] for chunk in chunks) == 24
    assert "pictures of one bit are taken for masks (48)" in str(told[0])
