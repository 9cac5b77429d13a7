"""Folders of images with a table of one's own: columns, masks, splits, and rows that cannot be used."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from armillary.core.errors import ConfigError, DataError
from armillary.domains.medical.readers.image_folder import find_table
from armillary.domains.medical.sources import DicomSource, NiftiMask, NiftiSource, RasterMask
from armillary.domains.medical.studies import Absent


@pytest.fixture
def folder(tmp_path: Path, picture: Callable[..., Path]) -> Callable[..., Path]:
    """folder(header, rows): a table, and a picture for the first cell of each row that names one below the folder."""

    def write(header: str, *rows: str) -> Path:
        (tmp_path / "images.csv").write_text("\n".join([header, *rows]) + "\n")
        for row in rows:
            name = row.split(",")[0]
            if name and not name.startswith((".", "/")):
                picture(tmp_path / name)
        return tmp_path

    return write


def test_labels_in_columns_of_their_own(folder, load):
    root = folder("file,split,Mass,Edema", "a.png,train,1,0", "b.png,val,-1,", "c.png,test,0,1.0")
    found = load("mine", root, task="labels", names=("Edema", "Mass"), unknown="one")
    np.testing.assert_array_equal(
        [study.target for study in found.studies], np.array([[0, 1], [np.nan, 1], [1, 0]], np.float32)
    )
    assert [study.split for study in found.studies] == ["train", "validation", "test"]


def test_labels_joined_in_one_column(folder, load):
    root = folder("file,split,label", "a.png,train,Mass|Edema", "b.png,test,No Finding", "c.png,test,")
    found = load("mine", root, task="labels", names=("Edema", "Mass"))
    assert [study.target.tolist() for study in found.studies] == [[1, 1], [0, 0], [0, 0]]
    assert not found.errors


def test_a_label_that_the_run_does_not_name_is_told_once(folder, load):
    root = folder("file,split,label", "a.png,train,Mas", "b.png,test,Mas|Edema")
    found = load("mine", root, task="labels", names=("Edema", "Mass"))
    assert [study.target.tolist() for study in found.studies] == [[0, 0], [1, 0]]
    assert found.told.count("the label 'Mas' (2 rows) is none of data.names; did you mean 'Mass'?") == 1
    assert len(found.errors) == 1


def test_of_classes_exactly_one_has_to_hold(folder, load):
    root = folder("file,split,label", "a.png,train,cat", "b.png,test,cat|dog", "c.png,test,cow")
    found = load("mine", root, task="classes", names=("cat", "dog"))
    assert [study.target.tolist() for study in found.studies] == [[1, 0]]
    assert [(error.item, error.row) for error in found.errors] == [("b.png", 3), ("c.png", 4)]


def test_without_a_column_patients_are_drawn_into_splits(folder, load):
    rows = [f"{number:02d}.png,{number // 2}" for number in range(60)]
    found = load("mine", folder("file,patient", *rows), task="pretrain")
    assert {split: patients for split, (_, patients) in found.counts().items()} == {
        "test": 6, "train": 22, "validation": 2,
    }  # fmt: skip


def test_a_patient_in_two_splits_is_refused_by_name(folder, load):
    root = folder("file,split,patient", "a.png,train,Ada", "b.png,test,Ada", "c.png,test,Bob")
    with pytest.raises(DataError, match=r"mine: .*1 of 2 patients are in more than one split: 'Ada' \(test, train\)"):
        load("mine", root, task="pretrain")


def test_sex_age_view_and_spacing_are_kept(folder, load):
    root = folder(
        "file, split, sex, age, view, spacing_mm", "a.png, train, female, 4, ap, 0.5", "b.png,test,,,,0.5|0.25"
    )
    first, second = load("mine", root, task="pretrain").studies
    assert (first.sex, first.age_years, first.view, first.spacing_mm) == ("F", 4.0, "ap", (0.5, 0.5))
    assert (second.sex, second.view, second.spacing_mm) == ("", "", (0.5, 0.25))
    assert np.isnan(second.age_years)


def test_masks_are_drawn_absent_or_unknown(folder, load, picture):
    root = folder(
        "file,split,mask_lung,mask_heart",
        "a.png,train,m/a.png,absent",
        "b.png,test,,m/b.nii.gz#2",
        "c.png,test,m/c.png#3,",
    )
    for name in ("m/a.png", "m/c.png"):
        picture(root / name, "1")
    (root / "m" / "b.nii.gz").touch()
    found = load("mine", root, task="masks", names=("heart", "lung"))
    assert [study.masks for study in found.studies] == [
        (Absent(), RasterMask(root / "m/a.png")),
        (NiftiMask(root / "m/b.nii.gz", 2), None),
        (None, RasterMask(root / "m/c.png", 3)),
    ]


def test_a_mask_that_is_missing_is_reported_and_unknown(folder, load):
    root = folder("file,split,mask_lung", "a.png,train,m/a.png")
    found = load("mine", root, task="masks", names=("lung",))
    assert found["a.png"].masks == (None,)
    assert "images.csv:2[a.png]: has no mask m/a.png" in found.told


@pytest.mark.parametrize("name", ["../a.png", "/etc/a.png", "C:\\a.png", "x/../../a.png", "", ".", "..\\a.png"])
def test_a_path_out_of_the_folder_is_reported(folder, load, name):
    found = load("mine", folder("file,split", "good.png,train", f"{name},test"), task="pretrain")
    assert [study.id for study in found.studies] == ["good.png"]
    (error,) = found.errors
    assert error.row == 3
    assert "is no path below" in str(error)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("b.png,somewhere,1,", "is in the split 'somewhere'; expected train, validation or test"),
        ("b.png,,1,", "is in the split ''"),
        ("b.png,test,2,", "Mass is 2; expected 1, 0, -1 or nothing"),
        ("b.png,test,yes,", "Mass is 'yes'; expected a number"),
        ("b.png,test,inf,", "Mass is inf; expected 1, 0, -1 or nothing"),
        ("b.png,test,1,0", "spacing_mm is '0'"),
        ("b.png,test,1,1|1|1", "Expected one positive number, or 2 joined by"),
    ],
)
def test_a_row_that_cannot_be_used_is_reported_and_the_others_go_on(folder, load, row, problem):
    found = load("mine", folder("file,split,Mass,spacing_mm", "a.png,train,1,", row), task="labels", names=("Mass",))
    assert [study.id for study in found.studies] == ["a.png"]
    (error,) = found.errors
    assert (error.item, error.row) == ("b.png", 3)
    assert problem in str(error)


def test_a_name_that_comes_twice_counts_once(folder, load):
    found = load("mine", folder("file,split", "a.png,train", "a.png,train"), task="pretrain")
    assert len(found.studies) == 1
    assert "images listed twice (1): a.png" in found.told


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("labels", "has no column 'Mas'; did you mean 'Mass'"),
        ("masks", "has no column 'mask_Mas'.*it has: mask_lung"),
    ],
)
def test_a_missing_column_is_a_mistake_of_the_configuration(folder, load, task, message):
    root = folder("file,split,Mass,mask_lung", "a.png,train,1,")
    with pytest.raises(ConfigError, match=message):
        load("mine", root, task=task, names=("Mas",))


def test_the_only_table_with_files_is_taken(folder, tmp_path):
    folder("file", "a.png")
    (tmp_path / "images.csv").rename(tmp_path / "other.csv")
    (tmp_path / "notes.csv").write_bytes(b"\xff\xfe\x00")
    assert find_table(tmp_path) == tmp_path / "other.csv"
    (tmp_path / "third.csv").write_text("file\n")
    assert find_table(tmp_path) is None


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00\x00", b"name\na.png\n"])
def test_a_table_that_is_none_is_refused(tmp_path, load, content):
    (tmp_path / "images.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"images\.csv"):
        load("mine", tmp_path, task="pretrain")


def test_a_folder_without_a_table_is_refused_with_what_was_expected(tmp_path, load):
    with pytest.raises(DataError, match=r"Expected one \.npz as of MedMNIST, or images with a table images\.csv"):
        load("mine", tmp_path, task="pretrain")


def test_volumes_and_series_get_their_sources(tmp_path, load):
    for name in ("a.nii.gz", "b.dcm", "1.2.840.5", "series/2.dcm", "series/1.dcm", "series/.hidden"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "1.2.840.5").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "c.npy").touch()
    (tmp_path / "d").write_bytes(b"something else")
    (tmp_path / "empty").mkdir()
    (tmp_path / "images.csv").write_text(
        "file,split\na.nii.gz,train\nb.dcm,train\n1.2.840.5,train\nseries,test\nempty,test\nc.npy,test\nd,test\n"
    )
    found = load("mine", tmp_path, task="pretrain", size=(8, 8, 8))
    assert [study.image for study in found.studies] == [
        NiftiSource(tmp_path / "a.nii.gz"),
        DicomSource((tmp_path / "b.dcm",)),
        DicomSource((tmp_path / "1.2.840.5",)),
        DicomSource((tmp_path / "series/1.dcm", tmp_path / "series/2.dcm")),
    ]
    assert [error.row for error in found.errors] == [6, 7, 8]
    for problem in ("is a folder without files", "is an array of NumPy", "is no image of a known kind"):
        assert problem in found.told
