"""The repository of Hannover: pictures without labels, splits in a table of their own."""

import numpy as np
import pytest

from armillary.core.errors import ConfigError, DataError

DATA = (
    "patient_id,image_id,sex,age,size,weight,modality,projection\n"
    "p1,i1,f,,,,CR,pa\np2,i2,m,61,,,DX,ap\np3,i3,m,,,,CR,ap\n"
)
SPLITS = "patient_id,image_id,split\np1,i1,test\np2,i2,train\np3,i3,val\n"


@pytest.fixture
def hannover(tmp_path, picture):
    (tmp_path / "data.csv").write_text(DATA)
    (tmp_path / "splits.csv").write_text(SPLITS)
    for name in ("i1", "i2", "i3"):
        picture(tmp_path / "png" / f"{name}.png")
    return tmp_path


def test_pictures_come_with_their_split_patient_and_view(hannover, load):
    found = load("hannover_covid_cxr", hannover, task="pretrain")
    assert [(study.id, study.patient, study.split, study.sex, study.view) for study in found.studies] == [
        ("i1", "p1", "test", "F", "PA"), ("i2", "p2", "train", "M", "AP"), ("i3", "p3", "validation", "M", "AP"),
    ]  # fmt: skip
    assert np.isnan(found["i1"].age_years)
    assert found["i2"].age_years == 61.0


def test_it_has_no_labels(hannover, load):
    with pytest.raises(ConfigError, match="hannover_covid_cxr is for pretrain, and the run asks for 'labels'"):
        load("hannover_covid_cxr", hannover, task="labels", names=("x",))


def test_a_picture_in_no_split_is_reported(hannover, load):
    (hannover / "splits.csv").write_text(SPLITS.replace("p2,i2,train\n", ""))
    found = load("hannover_covid_cxr", hannover, task="pretrain")
    assert [study.id for study in found.studies] == ["i1", "i3"]
    assert "data.csv:3[i2]: is in the split ''" in found.told


def test_a_missing_table_is_told(hannover, load):
    (hannover / "splits.csv").unlink()
    with pytest.raises(DataError, match=r"splits\.csv: cannot be read \(No such file"):
        load("hannover_covid_cxr", hannover, task="pretrain")
