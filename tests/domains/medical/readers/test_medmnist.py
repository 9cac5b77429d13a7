"""MedMNIST archives: classes and labels, two and three dimensions, duplicates, hostile files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from armillary.core.errors import ConfigError, DataError

COUNTS = {"train": 6, "val": 2, "test": 3}
SETTINGS: dict[str, Any] = {"task": "classes", "names": ("normal", "pneumonia"), "size": (28, 28)}


def archive(folder: Path, shape: tuple[int, ...] = (8, 8), columns: int = 1, **changed: Any) -> Path:
    """An archive with random images and labels 0, 1, 0, 1, ..."""
    rng = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {}
    for part, count in COUNTS.items():
        arrays[f"{part}_images"] = rng.integers(0, 256, (count, *shape), np.uint8)
        arrays[f"{part}_labels"] = (np.arange(count * columns).reshape(count, columns) % 2).astype(np.uint8)
    arrays |= changed
    path = folder / "pneumoniamnist.npz"
    np.savez_compressed(path, **{key: value for key, value in arrays.items() if value is not None})
    return path


def test_classes_are_one_hot_in_the_published_splits(tmp_path, load):
    archive(tmp_path)
    found = load("pneumoniamnist", tmp_path, **SETTINGS)
    assert found.counts() == {"test": (3, 3), "train": (6, 6), "validation": (2, 2)}
    assert found["train_images/1"].target.tolist() == [0, 1]
    assert found["train_images/1"].group == "train_images/1"
    assert found["train_images/1"].patient == ""
    assert not found.errors


def test_an_image_is_read_from_its_row(tmp_path, load):
    path = archive(tmp_path)
    found = load("pneumoniamnist", tmp_path, **SETTINGS)
    with np.load(path) as arrays:
        expected = arrays["val_images"][1].astype(np.float32) / 255
    np.testing.assert_allclose(found["val_images/1"].image.load()[0], expected, atol=1e-7)


def test_several_labels_are_columns(tmp_path, load):
    archive(tmp_path, columns=3)
    found = load("chestmnist", tmp_path, task="labels", names=("a", "b", "c"))
    assert found["train_images/1"].target.tolist() == [1, 0, 1]


def test_volumes_are_read_where_the_run_asks_for_them(tmp_path, load):
    archive(tmp_path, (4, 5, 6))
    found = load("organmnist3d", tmp_path, task="classes", names=("a", "b"), size=(28, 28, 28))
    assert found["test_images/0"].image.load().shape == (1, 4, 5, 6)
    with pytest.raises(ConfigError, match=r"data.size: .* has images of 3 axes \(4 x 5 x 6\), and the run asks for 2"):
        load("organmnist3d", tmp_path, **SETTINGS)


def test_colour_is_no_third_axis(tmp_path, load):
    archive(tmp_path, (8, 8, 3))
    assert load("bloodmnist", tmp_path, **SETTINGS)["train_images/0"].image.load().shape == (3, 8, 8)


def test_the_same_picture_in_two_splits_is_reported_and_kept(tmp_path, load):
    path = archive(tmp_path)
    with np.load(path) as arrays:
        images = {key: arrays[key] for key in arrays.files if key.endswith("images")}
    images["val_images"][1] = images["train_images"][3]
    archive(tmp_path, **images)
    found = load("pneumoniamnist", tmp_path, **SETTINGS)
    (error,) = found.errors
    assert "pictures of validation that are in train too (1): val_images/1" in str(error)
    assert len(found.studies) == 11


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"names": ("normal", "pneumonia", "other"), "task": "labels"}, "has 1 columns of labels up to 1, and 3 names"),
        ({"names": ("normal", "x"), "task": "masks"}, "and the run asks for 'masks'"),
    ],
)
def test_names_that_do_not_fit_the_labels_are_a_mistake_of_the_configuration(tmp_path, load, settings, message):
    archive(tmp_path)
    with pytest.raises(ConfigError, match=message):
        load("pneumoniamnist", tmp_path, size=(28, 28), **settings)


def test_classes_of_training_beyond_the_names_are_a_mistake_of_the_configuration(tmp_path, load):
    archive(tmp_path, train_labels=np.arange(6, dtype=np.uint8)[:, None])
    with pytest.raises(ConfigError, match=r"labels up to 5, and 2 names are given; data\.task=classes expects"):
        load("pneumoniamnist", tmp_path, **SETTINGS)


def test_a_lone_label_beyond_the_names_is_reported_and_its_image_left_out(tmp_path, load):
    archive(tmp_path, test_labels=np.array([[0], [9], [1]], np.uint8))
    found = load("pneumoniamnist", tmp_path, **SETTINGS)
    assert found.ids("test") == ["test_images/0", "test_images/2"]
    assert "labels that are none of data.names (1): test_images/1" in found.told
    assert len(load("pneumoniamnist", tmp_path, task="pretrain", size=(28, 28)).ids("test")) == 3


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"val_labels": None}, "has no val_labels; it has"),
        ({"val_labels": np.zeros((3, 1), np.uint8)}, "expected one row of labels an image"),
        ({"val_labels": np.zeros(2, np.uint8)}, "expected one row of labels an image"),
        ({"val_labels": np.full((2, 1), 0.5)}, "no whole numbers"),
        ({"val_labels": np.full((2, 1), np.nan)}, "no whole numbers"),
        ({"val_labels": np.array([[None], [1]], object)}, "Python objects"),
    ],
)
def test_archives_that_are_no_such_set_are_refused(tmp_path, load, changed, message):
    archive(tmp_path, **changed)
    with pytest.raises(DataError, match=message):
        load("pneumoniamnist", tmp_path, **SETTINGS)


def test_of_several_archives_the_one_called_like_the_card_is_read(tmp_path, load):
    archive(tmp_path).rename(tmp_path / "bloodmnist.npz")
    archive(tmp_path, (4, 4))
    assert load("pneumoniamnist", tmp_path, **SETTINGS)["train_images/0"].image.load().shape == (1, 4, 4)
    with pytest.raises(DataError, match="holds no data set that is known"):
        load("pathmnist", tmp_path, **SETTINGS)
