"""The fabricated twin of each set is read like the set itself."""

from typing import Any

import pytest

from armillary.core.domain import SPLITS
from armillary.domains.medical.readers.structures import ANATOMY
from armillary.domains.medical.simulate import simulate

TWINS: dict[str, dict[str, Any]] = {
    "simulated_chest": {"task": "labels", "names": ("Opacity", "Nodule", "Effusion", "Pneumothorax", "Cardiomegaly")},
    "image_folder": {"task": "masks", "names": ("mole",), "channels": 3},
    "nih_cxr14": {"task": "labels", "names": ("Nodule", "Effusion")},
    "nih_cxr14_mini": {"task": "labels", "names": ("Nodule", "Effusion")},
    "chexpert": {"task": "labels", "names": ("Lung Opacity", "Pleural Effusion")},
    "hannover_covid_cxr": {"task": "pretrain"},
    "covid_cxr_structures": {"task": "masks", "names": ANATOMY[:2]},
    "pneumoniamnist": {"task": "classes", "names": ("normal", "pneumonia"), "size": (28, 28)},
    "medmnist": {"task": "classes", "names": ("none", "nodule"), "size": (28, 28, 28)},
    "chase_db1": {"task": "masks", "names": ("vessel",), "channels": 3},
}


@pytest.mark.parametrize("card", TWINS)
def test_every_split_of_a_twin_has_images_whose_targets_are_known(card, tmp_path, load):
    settings = TWINS[card]
    found = load(card, simulate(card, tmp_path, 0, "twin"), **settings)
    assert set(found.counts()) == set(SPLITS)
    for study in found.studies:
        labels = len(settings["names"]) if settings["task"] in ("labels", "classes") else 0
        masks = len(settings["names"]) if settings["task"] == "masks" else 0
        assert (len(study.target), len(study.masks)) == (labels, masks)
    assert len({study.id for study in found.studies}) == len(found.studies)
