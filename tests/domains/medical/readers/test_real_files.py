"""The counts that the real data sets' own descriptions state."""

import gzip
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from armillary.domains.medical.readers.chase import second_observer
from armillary.domains.medical.readers.cxr14 import NAMES, read_lists
from armillary.domains.medical.readers.structures import NAMES as STRUCTURES
from armillary.domains.medical.sources import RasterMask
from armillary.domains.medical.studies import Absent

pytestmark = pytest.mark.real


@pytest.fixture
def medical(data_root: Path) -> Path:
    folder = data_root / "medical"
    if not folder.is_dir():
        pytest.skip("no medical below ARMILLARY_DATA")
    return folder


def test_the_small_part_of_chestxray14(medical, load):
    found = load("nih_cxr14_mini", medical / "nih_cxr14_mini", task="labels", names=NAMES)
    assert not found.errors
    assert found.counts() == {"test": (181, 10), "train": (569, 194), "validation": (71, 32)}
    assert found.positives("train") == [57, 26, 86, 77, 21, 27, 3, 17, 14, 4, 15, 24, 13, 1, 315]
    assert found.positives("validation") == [6, 1, 5, 5, 1, 4, 2, 0, 0, 0, 1, 0, 5, 0, 50]
    assert found.positives("test") == [16, 25, 34, 44, 13, 1, 3, 21, 11, 6, 20, 7, 7, 8, 60]
    assert Counter(study.sex + study.view for study in found.studies) == {
        "MPA": 330,
        "FPA": 257,
        "MAP": 123,
        "FAP": 111,
    }
    assert found["00000001_000.png"].image.load().shape == (1, 64, 64)


def test_the_lists_of_the_whole_chestxray14(medical, tmp_path):
    tables = medical / "nih_cxr14_mini" / "full_labels"
    for name in ("train_val_list.txt", "test_list.txt", "val_list_medical_mae.txt"):
        (tmp_path / name).write_bytes(gzip.decompress((tables / f"{name}.gz").read_bytes()))
    assert Counter(read_lists(tmp_path).values()) == {"train": 75_312, "validation": 11_212, "test": 25_596}


def test_pneumoniamnist(medical, load):
    found = load(
        "pneumoniamnist", medical / "pneumoniamnist", task="classes", names=("normal", "pneumonia"), size=(28, 28)
    )
    assert {split: images for split, (images, _) in found.counts().items()} == {
        "test": 312, "train": 4708, "validation": 524,
    }  # fmt: skip
    assert [found.positives(split) for split in ("train", "validation", "test")] == [
        [1214, 3494],
        [135, 389],
        [117, 195],
    ]
    (error,) = found.errors
    assert "pictures of validation that are in train too (8)" in error.problem


def test_the_repository_of_hannover(medical, load):
    found = load("hannover_covid_cxr", medical / "hannover_covid_cxr", task="pretrain")
    assert not found.errors
    assert found.counts() == {"test": (28, 15), "train": (165, 25), "validation": (16, 12)}
    views = Counter((study.split, study.view) for study in found.studies)
    assert [views[split, view] for split in ("train", "validation", "test") for view in ("AP", "PA")] == [
        153, 12, 3, 13, 20, 8,
    ]  # fmt: skip
    assert max(found.studies[0].image.load().shape) == 384


def test_the_structures_of_chest_films(medical, load):
    found = load("covid_cxr_structures", medical / "covid_cxr_structures", task="masks", names=STRUCTURES)
    assert not found.errors
    assert found.counts() == {"test": (8, 6), "train": (22, 18), "validation": (5, 5)}
    drawn = Counter(
        name
        for study in found.studies
        for name, mask in zip(STRUCTURES, study.masks, strict=True)
        if isinstance(mask, RasterMask)
    )
    assert drawn == {
        "cardiomediastinum": 35, "airways": 35, "left_lung": 34, "right_lung": 34, "ground_glass_opacities": 34,
        "consolidation": 13, "tubings": 8, "nosogastric_tube": 7, "endotracheal_tube": 6, "central_venous_line": 6,
        "monitoring_probes": 6, "pleural_effusion": 1, "pneumothorax": 1,
    }  # fmt: skip
    unknown = {
        (study.id, name)
        for study in found.studies
        for name, mask in zip(STRUCTURES, study.masks, strict=True)
        if mask is None
    }
    assert unknown == {
        ("covid-19-pneumonia-12", "left_lung"), ("acute-respiratory-distress-syndrome-ards-1", "right_lung"),
    }  # fmt: skip
    study = found["ARDSSevere"]
    assert study.masks[STRUCTURES.index("pneumothorax")] == Absent()
    mask = study.masks[0]
    assert isinstance(mask, RasterMask)
    assert mask.load().shape == study.image.load().shape[1:] == (409, 512)


def test_retinas_and_how_far_two_observers_agree(medical, load):
    found = load("chase_db1", medical / "chase_db1", task="masks", names=("vessel",))
    assert not found.errors
    assert found.counts() == {"test": (4, 2), "train": (16, 8), "validation": (4, 2)}
    dice: dict[str, float] = {}
    for study in found.studies:
        first, second = study.masks[0].load() > 0, second_observer(study.image.path).load() > 0
        dice[study.id] = 2 * float((first & second).sum()) / float(first.sum() + second.sum())
    assert np.mean(list(dice.values())) == pytest.approx(0.774, abs=5e-4)
    assert np.mean([dice[name] for name in found.ids("test")]) == pytest.approx(0.804, abs=5e-4)
