"""Sets with masks: which structures are unknown where nobody drew them, and which absent; two observers."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from armillary.core.errors import ConfigError, DataError
from armillary.domains.medical.readers.chase import second_observer
from armillary.domains.medical.sources import RasterMask
from armillary.domains.medical.studies import Absent

HEADER = (
    "image,split,patientid,finding,view,sex,age,width,height,orig_width,orig_height,structures,original_filename,"
    "license,source_url,doi"
)


@pytest.fixture
def structures(tmp_path: Path, picture: Callable[..., Path]) -> Path:
    rows = [
        "images/one.png,train,5,ARDS,PA,nan,nan,5,6,5,6,left_lung|consolidation,one.png,CC BY,,",
        'images/two.png,val,7,"COVID-19, ARDS",AP,F,70.0,5,6,5,6,left_lung|right_lung,two.png,CC BY,,',
        "images/three.png,test,8,ARDS,PA,M,50.0,5,6,5,6,right_lung,three.png,CC BY,,",
    ]
    (tmp_path / "metadata.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    for name in ("images/one", "images/two", "images/three"):
        picture(tmp_path / f"{name}.png")
    for name in ("one__left_lung", "one__consolidation", "two__left_lung", "two__right_lung"):
        picture(tmp_path / "masks" / f"{name}.png", "1")
    return tmp_path


def test_anatomy_that_is_not_drawn_is_unknown_and_a_finding_that_is_not_drawn_is_absent(structures, load):
    names = ("right_lung", "consolidation", "left_lung")
    found = load("covid_cxr_structures", structures, task="masks", names=names)
    left, hazy = (RasterMask(structures / f"masks/one__{name}.png") for name in ("left_lung", "consolidation"))
    assert found["one"].masks == (None, hazy, left)
    assert found["two"].masks[1] == Absent()
    assert found.counts() == {"test": (1, 1), "train": (1, 1), "validation": (1, 1)}


def test_a_mask_that_is_listed_but_missing_is_reported_and_unknown(structures, load):
    found = load("covid_cxr_structures", structures, task="masks", names=("right_lung",))
    assert found["three"].masks == (None,)
    assert "metadata.csv:4[three]: has no file three__right_lung.png" in found.told


def test_what_is_not_told_of_a_patient_is_empty(structures, load):
    found = load("covid_cxr_structures", structures, task="pretrain")
    one, two = found["one"], found["two"]
    assert (one.sex, one.view, one.masks) == ("", "PA", ())
    assert np.isnan(one.age_years)
    assert (two.sex, two.age_years, two.patient) == ("F", 70.0, "7")


def test_a_structure_that_the_set_does_not_have_is_a_mistake_of_the_configuration(structures, load):
    with pytest.raises(ConfigError, match="has no 'lung_left'"):
        load("covid_cxr_structures", structures, task="masks", names=("lung_left",))


@pytest.fixture
def eyes(tmp_path: Path, picture: Callable[..., Path]) -> Path:
    for child in (1, 8, 9, 10, 11, 14):
        for eye in "LR":
            stem = f"Image_{child:02d}{eye}"
            picture(tmp_path / f"{stem}.jpg", "RGB")
            for observer in ("1stHO", "2ndHO"):
                picture(tmp_path / f"{stem}_{observer}.png", "1")
    return tmp_path


def test_both_eyes_of_a_child_are_in_the_split_of_the_child(eyes, load):
    found = load("chase_db1", eyes, task="masks", names=("vessel",))
    assert found.ids("train") == ["Image_01L", "Image_01R", "Image_08L", "Image_08R"]
    assert found.counts() == {"test": (4, 2), "train": (4, 2), "validation": (4, 2)}


def test_both_observers_can_be_asked_for(eyes, load):
    found = load("chase_db1", eyes, task="masks", names=("vessel_2nd", "vessel"))
    first, second = eyes / "Image_09L_1stHO.png", eyes / "Image_09L_2ndHO.png"
    assert found["Image_09L"].masks == (RasterMask(second), RasterMask(first))
    assert second_observer(eyes / "Image_09L.jpg") == RasterMask(second)


def test_a_drawing_that_is_missing_is_reported_and_unknown(eyes, load):
    (eyes / "Image_09L_1stHO.png").unlink()
    found = load("chase_db1", eyes, task="masks", names=("vessel",))
    assert found["Image_09L"].masks == (None,)
    assert "Image_09L.jpg: has no Image_09L_1stHO.png beside it" in found.told
    (eyes / "Image_09L_2ndHO.png").unlink()
    with pytest.raises(DataError, match=r"has no Image_09L_2ndHO\.png beside it"):
        second_observer(eyes / "Image_09L.jpg")


def test_a_folder_without_photographs_is_refused(tmp_path, load):
    with pytest.raises(DataError, match="holds no photograph"):
        load("chase_db1", tmp_path, task="masks", names=("vessel",))
