"""ChestX-ray14: the table, the lists, the folders of pictures, and what can be wrong with them."""

import numpy as np
import pytest

from armillary.core.errors import ConfigError, DataError
from armillary.domains.medical.readers.cxr14 import read_lists

NAMES = ("Mass", "Hernia", "Effusion")
ROWS = [("a.png", "Mass|Effusion", 1), ("b.png", "No Finding", 2), ("c.png", "Hernia", 3)]
LISTS = {"train_list.txt": ["a.png"], "val_list.txt": ["b.png"], "test_list.txt": ["c.png"]}


def test_findings_become_targets_in_the_order_of_the_names(nih, load):
    found = load("nih_cxr14_mini", nih(ROWS, LISTS), task="labels", names=NAMES)
    assert [(study.id, study.split) for study in found.studies] == [
        ("a.png", "train"), ("b.png", "validation"), ("c.png", "test"),
    ]  # fmt: skip
    assert [study.target.tolist() for study in found.studies] == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]
    assert not found.errors


def test_what_the_table_says_of_a_patient_is_kept_and_the_spacing_is_unknown(nih, load):
    study = load("nih_cxr14_mini", nih(ROWS, LISTS), task="labels", names=NAMES)["a.png"]
    assert (study.patient, study.sex, study.age_years, study.view, study.spacing_mm) == ("1", "M", 57.0, "PA", ())


def test_no_finding_can_be_asked_for_as_a_class(nih, load):
    found = load("nih_cxr14_mini", nih(ROWS, LISTS), task="classes", names=("No Finding", "Hernia"))
    assert [study.id for study in found.studies] == ["b.png", "c.png"]
    assert "a.png" in found.told
    assert "has the labels Mass, Effusion; expected exactly one of No Finding, Hernia" in found.told


def test_pretraining_reads_the_same_images_without_targets(nih, load):
    found = load("nih_cxr14_mini", nih(ROWS, LISTS), task="pretrain")
    assert [study.target.shape for study in found.studies] == [(0,)] * 3


def test_pictures_of_the_full_release_lie_in_numbered_folders(nih, load):
    images = {"a.png": "images_001/images", "b.png": "images_002/images", "c.png": "images_012"}
    found = load("nih_cxr14", nih(ROWS, LISTS, images), task="labels", names=NAMES)
    assert len(found.studies) == 3
    assert found["c.png"].image.path.parent.name == "images_012"


def test_without_a_validation_list_patients_are_drawn_from_the_training_list(nih, load):
    rows = [(f"{patient:02d}_{view}.png", "Mass", patient) for patient in range(30) for view in range(2)]
    names = [row[0] for row in rows]
    found = load(
        "nih_cxr14", nih(rows, {"train_val_list.txt": names[:40], "test_list.txt": names[40:]}), task="labels",
        names=NAMES,
    )  # fmt: skip
    assert found.counts() == {"test": (20, 10), "train": (36, 18), "validation": (4, 2)}
    assert found.ids("test") == names[40:]


def test_a_validation_list_takes_its_images_out_of_the_list_of_both(nih):
    lists = {"train_val_list.txt": ["a.png", "b.png"], "val_list_medical_mae.txt": ["images/b.png 0 1"]}
    folder = nih(ROWS, {**lists, "test_list.txt": ["c.png"]})
    assert read_lists(folder) == {"a.png": "train", "b.png": "validation", "c.png": "test"}


def test_an_image_in_two_lists_is_refused(nih, load):
    lists = {**LISTS, "test_list.txt": ["c.png", "a.png"]}
    with pytest.raises(DataError, match=r"\[a.png\]: is in train_list.txt and in test_list.txt"):
        load("nih_cxr14", nih(ROWS, lists), task="labels", names=NAMES)


def test_a_finding_that_the_set_does_not_have_is_reported_with_its_row(nih, load):
    rows = [*ROWS, ("d.png", "Efusion", 4)]
    lists = {**LISTS, "train_list.txt": ["a.png", "d.png"]}
    found = load("nih_cxr14", nih(rows, lists), task="labels", names=NAMES)
    assert [study.id for study in found.studies] == ["a.png", "b.png", "c.png"]
    (error,) = found.errors
    assert error.row == 5
    assert error.item == "d.png"
    assert "'Efusion'; did you mean 'Effusion'?" in str(error)


def test_missing_files_rows_and_lists_are_reported_together(nih, load):
    rows = [*ROWS, ("d.png", "Mass", 4), ("e.png", "Mass", 5), ("a.png", "Mass", 6)]
    lists = {**LISTS, "train_list.txt": ["a.png", "d.png", "f.png"]}
    found = load("nih_cxr14", nih(rows, lists, dict.fromkeys(("a.png", "b.png", "c.png"), "images")), task="pretrain")
    assert found["a.png"].patient == "1"
    assert [error.problem for error in found.errors] == [
        "images listed twice (1): a.png",
        "listed images whose files are missing (1): d.png",
        "images in no list of the splits (1): e.png",
        "images of the lists without a row (1): f.png",
    ]


def test_a_picture_in_two_folders_is_reported(nih, load, picture):
    folder = nih(ROWS, LISTS)
    picture(folder / "images_001" / "images" / "a.png")
    found = load("nih_cxr14", folder, task="pretrain")
    assert found["a.png"].image.path.parent.name == "images"
    assert "images in two folders (1): a.png" in found.told


def test_a_name_that_the_set_does_not_have_is_a_mistake_of_the_configuration(nih, load):
    with pytest.raises(ConfigError, match="nih_cxr14_mini has no 'Nodules'; did you mean 'Nodule'"):
        load("nih_cxr14_mini", nih(ROWS, LISTS), task="labels", names=("Nodules",))


def test_it_has_no_masks(nih, load):
    with pytest.raises(ConfigError, match="is for labels or classes or pretrain, and the run asks for 'masks'"):
        load("nih_cxr14_mini", nih(ROWS, LISTS), task="masks", names=("Mass",))


def test_a_table_without_the_findings_is_refused(nih, load):
    folder = nih(ROWS, LISTS)
    (folder / "Data_Entry_2017_v2020.csv").write_text("Image Index,Patient ID\na.png,1\n")
    with pytest.raises(DataError, match=r"csv:1: has no column Finding Labels, Patient Age"):
        load("nih_cxr14_mini", folder, task="labels", names=NAMES)


@pytest.mark.parametrize("lacking", ["Data_Entry_2017_v2020.csv", "train_list.txt", "test_list.txt"])
def test_a_missing_table_or_list_is_told_with_the_layout(nih, load, lacking):
    folder = nih(ROWS, LISTS)
    (folder / lacking).unlink()
    with pytest.raises(DataError, match="Expected Data_Entry_2017"):
        load("nih_cxr14_mini", folder, task="labels", names=NAMES)


def test_without_any_image_the_reader_says_where_to_look(nih, load):
    folder = nih(ROWS, LISTS)
    for path in (folder / "images").iterdir():
        path.unlink()
    with pytest.raises(DataError, match=r"no image that can be used \(3 files are missing\)"):
        load("nih_cxr14_mini", folder, task="labels", names=NAMES)


def test_targets_are_float32(nih, load):
    study = load("nih_cxr14_mini", nih(ROWS, LISTS), task="labels", names=NAMES)["a.png"]
    assert study.target.dtype == np.float32
