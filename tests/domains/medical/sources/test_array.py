"""Rows of arrays: opened once, without pickles, by a header that is believed only where the bytes are there."""

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from armillary.core.errors import DataError
from armillary.domains.medical.sources import ArrayMask, ArraySource, array, unpack

RNG = np.random.default_rng(0)


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    path = tmp_path / "set.npz"
    np.savez_compressed(
        path,
        grey=RNG.integers(0, 255, (3, 6, 7), np.uint8),
        colour=RNG.integers(0, 255, (3, 6, 7, 3), np.uint8),
        volume=RNG.integers(0, 255, (3, 5, 6, 7), np.uint8),
        floats=RNG.uniform(0, 1, (3, 6, 7)),
        wide=RNG.integers(0, 255, (3, 6, 7), np.int64),
        beyond=np.full((3, 6, 7), 2.0),
        broken=np.full((3, 6, 7), np.nan),
        labels=RNG.integers(0, 3, (3, 6, 7), np.uint8),
        objects=np.array([{}, {}], object),
    )
    return path


def test_rows_are_images_channels_first(npz: Path):
    for key, shape in {"grey": (1, 6, 7), "colour": (3, 6, 7), "volume": (1, 5, 6, 7), "floats": (1, 6, 7)}.items():
        source = ArraySource(npz, key, 2)
        image = source.load()
        assert (image.shape, image.dtype, source.shape()) == (shape, np.float32, shape[1:])
        assert 0 <= image.min() <= image.max() <= 1
    with np.load(npz) as stored:
        np.testing.assert_array_equal(ArraySource(npz, "grey", 1).load()[0], stored["grey"][1] / np.float32(255))
        np.testing.assert_array_equal(ArrayMask(npz, "labels", 1).load(), stored["labels"][1] > 0)
        np.testing.assert_array_equal(ArrayMask(npz, "labels", 1, 2).load(), stored["labels"][1] == 2)


@pytest.mark.parametrize(
    ("key", "index", "words"),
    [
        ("gray", 0, "did you mean 'grey'"),
        ("grey", 3, "has 3 images; there is no number 3"),
        ("wide", 0, "values of type int64"),
        ("beyond", 0, "floats from 0 to 2"),
        ("broken", 0, "not finite"),
        ("objects", 0, "Python objects, which are never loaded"),
    ],
)
def test_rows_that_cannot_be_used_are_told(npz: Path, key: str, index: int, words: str):
    with pytest.raises(DataError, match=words):
        ArraySource(npz, key, index).load()


def test_the_array_is_read_once_in_a_process_and_anew_when_the_file_changes(npz: Path):
    first = array.open_array(npz, "grey")
    assert array.open_array(npz, "grey") is first
    assert not first.flags.writeable
    np.savez(npz, grey=np.zeros((5, 2, 2), np.uint8))
    assert array.open_array(npz, "grey").shape == (5, 2, 2)


def test_a_header_that_promises_more_than_there_is_allocates_nothing(tmp_path: Path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**6, 10**6)})
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", header.getvalue() + bytes(64))
    with pytest.raises(DataError, match="are there"):
        ArraySource(path, "images", 0).load()


def test_large_arrays_are_unpacked_once_and_mapped(npz: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(array, "LARGE", 10)
    array._open.cache_clear()
    mapped = array.open_array(npz, "grey")
    assert isinstance(mapped, np.memmap)
    with np.load(npz) as stored:
        np.testing.assert_array_equal(mapped, stored["grey"])
    array._open.cache_clear()
    assert array.open_array(npz, "grey").filename == mapped.filename  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setattr(unpack.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 100})())
    with pytest.raises(DataError, match="unpacks to"):
        array.open_array(npz, "volume")


def test_a_file_that_is_no_archive_is_told(tmp_path: Path):
    path = tmp_path / "no.npz"
    path.write_bytes(b"nonsense" * 10)
    with pytest.raises(DataError, match=r"no\.npz.*cannot be read as arrays"):
        ArraySource(path, "images", 0).load()
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(DataError, match="cannot be read as arrays"):
        ArraySource(path, "images", 0).load()


def test_plain_arrays_are_mapped(tmp_path: Path):
    np.save(tmp_path / "a.npy", RNG.integers(0, 255, (3, 6, 7), np.uint8))
    assert ArraySource(tmp_path / "a.npy", "", 1).load().shape == (1, 6, 7)
    assert array.keys_of(tmp_path / "a.npy") == {"": (3, 6, 7)}


def test_arrays_of_images_are_found_by_their_name(npz: Path, tmp_path: Path):
    with pytest.raises(DataError, match="none is called images"):
        array.image_keys(npz)
    np.savez(tmp_path / "m.npz", test_images=np.zeros((2, 4, 4), np.uint8), test_labels=np.zeros((2, 1), np.uint8))
    assert array.image_keys(tmp_path / "m.npz") == ["test_images"]
    np.savez(tmp_path / "one.npz", image=np.zeros((4, 4), np.uint8))
    with pytest.raises(DataError, match="stack of 1"):
        array.image_keys(tmp_path / "one.npz")


@pytest.mark.real
def test_real_rows_are_read(data_root: Path):
    path = data_root / "medical" / "pneumoniamnist" / "pneumoniamnist.npz"
    assert array.image_keys(path) == ["train_images", "val_images", "test_images"]
    image = ArraySource(path, "test_images", 311).load()
    assert image.shape == (1, 28, 28)
    assert 0.2 < image.mean() < 0.9
