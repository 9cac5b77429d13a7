"""CheXpert: uncertain and blank observations, patients from paths, its two tables."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from armillary.core.errors import DataError
from armillary.domains.medical.readers.chexpert import NAMES

HEADER = ",".join(("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *NAMES))
ASKED = ("Edema", "Consolidation", "Fracture")


def row(path: str, observed: dict[str, str], view: str = "Frontal,AP") -> str:
    return ",".join((f"CheXpert-v1.0-small/{path}", "Female", "68", view, *(observed.get(name, "") for name in NAMES)))


@pytest.fixture
def chexpert(tmp_path: Path, picture: Callable[..., Path]) -> Path:
    """Twenty training patients with a frontal and a lateral view, one of validation."""
    root = tmp_path / "CheXpert-v1.0-small"
    observed = {"Edema": "1.0", "Consolidation": "-1.0", "Fracture": ""}
    train: list[str] = []
    for patient in range(1, 21):
        study = f"train/patient{patient:05d}/study1"
        train.append(row(f"{study}/view1_frontal.jpg", observed))
        train.append(row(f"{study}/view2_lateral.jpg", {"Edema": "0.0"}, "Lateral,"))
    valid = [row("valid/patient64541/study1/view1_frontal.jpg", {"Fracture": "1.0"})]
    for name, rows in (("train", train), ("valid", valid)):
        root.mkdir(exist_ok=True)
        (root / f"{name}.csv").write_text("\n".join([HEADER, *rows]) + "\n")
        for line in rows:
            picture(tmp_path / line.split(",")[0])
    return tmp_path


FIRST = "train/patient00001/study1/view1_frontal.jpg"


@pytest.mark.parametrize(("unknown", "value"), [("ignore", np.nan), ("zero", 0.0), ("one", 1.0)])
def test_an_uncertain_label_counts_as_the_setting_says(chexpert, load, unknown, value):
    found = load("chexpert", chexpert, task="labels", names=ASKED, unknown=unknown)
    np.testing.assert_array_equal(found[FIRST].target, np.array([1.0, value, 0.0], np.float32))


def test_the_official_validation_set_is_the_test_split_and_validation_is_drawn_by_patient(chexpert, load):
    found = load("chexpert", chexpert, task="labels", names=ASKED)
    assert found.counts() == {"test": (1, 1), "train": (36, 18), "validation": (4, 2)}


def test_patient_sex_age_and_view_are_kept(chexpert, load):
    found = load("chexpert", chexpert, task="labels", names=ASKED)
    study = found[FIRST]
    assert (study.patient, study.sex, study.age_years, study.view) == ("patient00001", "F", 68.0, "AP")
    assert found["train/patient00001/study1/view2_lateral.jpg"].view == "lateral"


def test_views_can_be_chosen(chexpert, load):
    found = load("chexpert", chexpert, task="labels", names=ASKED, views=("pa", "ap"))
    assert {study.view for study in found.studies} == {"AP"}
    assert len(found.studies) == 21


def test_the_folder_of_the_release_may_be_the_cards_own(chexpert, load):
    renamed = (chexpert / "CheXpert-v1.0-small").rename(chexpert / "mine")
    assert len(load("chexpert", renamed, task="pretrain").studies) == 41


def test_a_path_out_of_the_folder_and_one_without_a_patient_are_reported(chexpert, load):
    table = chexpert / "CheXpert-v1.0-small" / "train.csv"
    bad = [
        row("../../etc/patient00001/x.jpg", {}),
        row("train/x.jpg", {}),
        row("train/patient00002/y.jpg", {"Edema": "yes"}),
    ]
    table.write_text(table.read_text() + "\n".join(bad) + "\n")
    found = load("chexpert", chexpert, task="labels", names=ASKED)
    assert len(found.studies) == 41
    assert [error.row for error in found.errors] == [42, 43, 44]
    assert "is no path below" in found.told
    assert "names no patient in its path" in found.told
    assert "Edema is 'yes'; expected a number" in found.told


def test_without_its_tables_the_layout_is_told(tmp_path, load):
    with pytest.raises(DataError, match=r"holds no train\.csv and valid\.csv"):
        load("chexpert", tmp_path, task="pretrain")
