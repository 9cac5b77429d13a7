"""A folder of masks, overlays, heat maps and volumes."""

import nibabel
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from armillary.core.domain import ReadOptions
from armillary.core.errors import DataError
from armillary.domains.medical.notice import NOTICE
from armillary.domains.medical.read import read
from armillary.domains.medical.write import STREAMS, write
from armillary.domains.medical.writers.names import Names
from armillary.domains.medical.writers.pictures import COLOURS


def png(path):
    with Image.open(path) as picture:
        return picture.mode, np.asarray(picture), dict(picture.info)


def masks_of(chunk: xr.Dataset, found: np.ndarray, names: tuple[str, ...] = ("left_lung", "heart")) -> xr.Dataset:
    """What a segmenter would say of a chunk that was read: certain masks."""
    space = [name for name in ("plane", "row", "column") if name in chunk.dims]
    variables = {"probability": (("item", "structure", *space), found.astype(np.float32))}
    return chunk.drop_vars("image").assign(variables).assign_coords(structure=list(names))


def read_one(path) -> xr.Dataset:
    problems = []
    (chunk,) = read([path], ReadOptions(report=problems.append))
    return chunk


@pytest.fixture
def film(tmp_path):
    """A picture of 120 x 100 that was read, and masks of two structures."""
    path = tmp_path / "in" / "film.png"
    path.parent.mkdir()
    Image.fromarray(np.tile(np.arange(100, dtype=np.uint8), (120, 1))).save(path)
    found = np.zeros((1, 2, 120, 100), np.bool_)
    found[0, 0, 20:60, 10:40] = True
    return masks_of(read_one(path), found), found[0]


def test_masks_of_a_picture_have_its_size_and_one_bit(film, tmp_path):
    prediction, found = film
    write(prediction, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "film_left_lung.png", "film_heart.png", "film_overlay.png", "predictions.csv",
    }  # fmt: skip
    mode, values, info = png(tmp_path / "out" / "film_left_lung.png")
    assert mode == "1"
    assert info["Comment"] == NOTICE
    assert_array_equal(values, found[0])
    assert not png(tmp_path / "out" / "film_heart.png")[1].any()
    assert pd.read_csv(tmp_path / "out" / "predictions.csv").share_left_lung[0] == pytest.approx(0.1)


def test_an_overlay_has_the_contour_in_colour_on_the_image(film, tmp_path):
    prediction, _ = film
    write(prediction, tmp_path / "out")
    mode, values, _ = png(tmp_path / "out" / "film_overlay.png")
    assert mode == "RGB"
    colour = [int(COLOURS[0][place : place + 2], 16) for place in (1, 3, 5)]
    assert values[20, 25].tolist() == colour
    assert values[40, 25].tolist() == [25, 25, 25]
    assert values[70, 50].tolist() == [50, 50, 50]


def test_without_the_image_there_are_masks_and_no_overlay(film, tmp_path):
    prediction, _ = film
    (tmp_path / "in" / "film.png").unlink()
    write(prediction, tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert "film_left_lung.png" in names
    assert "film_overlay.png" not in names


def test_files_of_one_name_from_two_folders_do_not_replace_each_other(film, tmp_path):
    prediction, _ = film
    other = prediction.assign(file=("item", ["/elsewhere/film.png"]))
    with STREAMS[""](tmp_path / "out") as append:
        append(prediction)
        append(other)
    assert {path.name for path in (tmp_path / "out").glob("*heart*")} == {"film_heart.png", "film~2_heart.png"}


@pytest.mark.parametrize(
    ("item", "stem"),
    [
        ("a/b/film 1.PNG", "film_1"),
        ("scan.nii.gz", "scan"),
        ("x.npz/train_images/3", "x.npz_train_images_3"),
        ("../../etc", "etc"),
        ("v1.2", "v1.2"),
        ("...", "image"),
    ],
)
def test_names_of_files_hold_nothing_that_leads_elsewhere(item, stem):
    assert Names()(item, "file") == stem


def test_heat_maps_lie_over_the_image_one_for_each_label(tmp_path):
    path = tmp_path / "in.png"
    Image.fromarray(np.full((40, 50), 100, np.uint8)).save(path)
    chunk = read_one(path)
    heat = np.zeros((1, 2, 40, 50), np.float32)
    heat[0, 1, 10, 10] = 1
    prediction = chunk.drop_vars("image").assign(
        probability=(("item", "label"), [[0.2, 0.8]]), map=(("item", "label", "row", "column"), heat)
    )
    write(prediction.assign_coords(label=["Mass", "Nodule"]), tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "in_Mass.png", "in_Nodule.png", "predictions.csv",
    }  # fmt: skip
    hot = png(tmp_path / "out" / "in_Nodule.png")[1]
    assert hot[30, 30].tolist() == [100, 100, 100]
    assert hot[10, 10].tolist() != [100, 100, 100]
    assert (png(tmp_path / "out" / "in_Mass.png")[1] == 100).all()


@pytest.mark.parametrize("codes", [("R", "A", "S"), ("L", "P", "S"), ("P", "S", "R"), ("A", "L", "I")])
def test_a_volumes_masks_lie_as_its_file_does(codes, tmp_path):
    rng = np.random.default_rng(0)
    data = rng.random((5, 6, 7)).astype(np.float32)
    straight = nibabel.Nifti1Image(data, np.diag([2.0, 1.5, 3.0, 1.0]) + np.eye(4, k=3) * 11)
    turn = nibabel.orientations.ornt_transform(
        nibabel.orientations.axcodes2ornt(("R", "A", "S")), nibabel.orientations.axcodes2ornt(codes)
    )
    source = straight.as_reoriented(turn)
    nibabel.save(source, tmp_path / "scan.nii.gz")
    chunk = read_one(tmp_path / "scan.nii.gz")
    bright = chunk["image"].values[:, 0] > 0.6
    write(masks_of(chunk, np.stack([bright, ~bright], 1)), tmp_path / "out")
    made = nibabel.load(tmp_path / "out" / "scan_left_lung.nii.gz")
    assert_allclose(made.affine, source.affine, atol=1e-5)
    assert made.get_data_dtype() == np.uint8
    assert bytes(made.header["descrip"]).rstrip(b"\0").decode() == NOTICE
    low, high = np.percentile(np.asarray(source.dataobj), (0.5, 99.5))
    assert_array_equal(np.asarray(made.dataobj), np.asarray(source.dataobj) > low + 0.6 * (high - low))
    assert (tmp_path / "out" / "scan_overlay.png").exists()


def test_a_folder_that_is_a_file_is_refused(film, tmp_path):
    (tmp_path / "out").write_text("x")
    with pytest.raises(DataError, match="is a file; expected a folder"):
        write(film[0], tmp_path / "out")


def test_what_else_lies_in_the_folder_stays(film, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("x")
    write(film[0], tmp_path / "out")
    assert (tmp_path / "out" / "mine.txt").read_text() == "x"
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]
