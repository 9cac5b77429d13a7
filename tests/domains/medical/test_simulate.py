"""The files of the simulated films and of the twins of published sets."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from armillary.core.domain import SPLITS
from armillary.core.errors import CardError
from armillary.core.simulations import read_stamp
from armillary.domains.medical.readers.dataset import load_card
from armillary.domains.medical.settings import MedicalData
from armillary.domains.medical.simulate import simulate
from armillary.domains.medical.simulation.patients import FINDINGS, visits
from armillary.domains.medical.simulation.pictures import write_grey12
from armillary.domains.medical.simulation.write_folder import PATIENTS, split_of

CARDS = tuple(simulate.table)
every_card = pytest.mark.parametrize("card", CARDS)
DATA = {
    "simulated_chest": MedicalData(card="simulated_chest", task="labels", names=FINDINGS),
    "image_folder": MedicalData(card="image_folder", task="masks", names=("mole",)),
    "nih_cxr14": MedicalData(card="nih_cxr14", task="labels", names=("Effusion", "Nodule")),
    "nih_cxr14_mini": MedicalData(card="nih_cxr14_mini", task="labels", names=("Effusion", "Nodule")),
    "chexpert": MedicalData(card="chexpert", task="labels", names=("Pleural Effusion", "Cardiomegaly")),
    "hannover_covid_cxr": MedicalData(card="hannover_covid_cxr", task="pretrain"),
    "covid_cxr_structures": MedicalData(card="covid_cxr_structures", task="masks", names=("left_lung", "right_lung")),
    "pneumoniamnist": MedicalData(card="pneumoniamnist", task="classes", names=("normal", "pneumonia")),
    "medmnist": MedicalData(card="medmnist", task="classes", names=("none", "nodule"), size=(28, 28, 28)),
    "chase_db1": MedicalData(card="chase_db1", task="masks", names=("vessel",)),
}


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    root = tmp_path_factory.mktemp("twins")
    return {card: simulate(card, root, 0, "twin") for card in CARDS}


def mode_of(path: Path) -> str:
    with Image.open(path) as picture:
        return picture.mode


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@every_card
def test_the_same_call_gives_the_same_bytes_and_another_seed_others(card, twins, tmp_path):
    assert digests(simulate(card, tmp_path / "again", 0, "twin")) == digests(twins[card])
    assert digests(simulate(card, tmp_path / "other", 1, "twin")) != digests(twins[card])


@every_card
def test_a_twin_is_below_200_kb_and_its_stamp_names_what_is_broken(card, twins):
    files = [path for path in twins[card].rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 200_000
    stamp = read_stamp(twins[card])
    assert (stamp.card, stamp.seed, stamp.size) == (card, 0, "twin")
    assert stamp.broken


@every_card
def test_the_cards_own_reader_takes_its_twin_and_every_split_has_images(card, twins):
    problems = []
    studies = load_card(card, twins[card], DATA[card], problems.append)
    assert {study.split for study in studies} == set(SPLITS)
    assert len(studies) >= read_stamp(twins[card]).objects - 2
    groups = {split: {study.group for study in studies if study.split == split} for split in SPLITS}
    assert not groups["train"] & groups["test"]
    assert not groups["train"] & groups["validation"]


def test_the_table_of_films_tells_labels_masks_and_patients(twins):
    folder = twins["simulated_chest"]
    table = pd.read_csv(folder / "labels.csv")
    assert list(table)[:7] == ["file", "split", "patient", "sex", "age", "view", "spacing_mm"]
    assert set(FINDINGS) <= set(table)
    assert (table.groupby("patient").split.nunique() == 1).all()
    for name in FINDINGS:
        there = table[f"mask_{name}"] != "absent"
        assert (there == (table[name] == 1)).all()
        assert all(mode_of(folder / path) == "1" for path in table[f"mask_{name}"][there])
    modes = {mode_of(folder / path) for path in table.file[:-1]}
    assert modes == {"L", "I;16"}


def test_twelve_bits_in_sixteen_reach_white(tmp_path):
    write_grey12(tmp_path / "x.png", np.array([[0, 0.5], [1, 0.25]], np.float32))
    with Image.open(tmp_path / "x.png") as picture:
        values = np.asarray(picture)
    assert (values[0, 0], values[1, 0]) == (0, 65535)
    assert len(np.unique(values >> 4)) == 4
    assert b"sBIT" in (tmp_path / "x.png").read_bytes()


def test_the_cxr14_header_has_commas_without_quotes(twins):
    lines = (twins["nih_cxr14"] / "Data_Entry_2017_v2020.csv").read_text().splitlines()
    assert lines[0].endswith("OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]")
    assert {line.count(",") for line in lines} == {10}
    modes = {mode_of(path) for path in sorted(twins["nih_cxr14"].glob("images_*/images/*.png"))}
    assert modes == {"L", "RGBA"}


def test_chexpert_has_doubts_and_blanks_in_training_alone(twins):
    train, valid = (pd.read_csv(twins["chexpert"] / f"{name}.csv").iloc[:, 5:] for name in ("train", "valid"))
    assert set(np.unique(train.fillna(9))) == {-1.0, 0.0, 1.0, 9.0}
    assert set(np.unique(valid)) == {0.0, 1.0}


def test_the_archives_have_the_layout_of_medmnist(twins):
    with np.load(twins["medmnist"] / "nodulemnist3d.npz") as arrays:
        assert set(arrays) == {f"{part}_{kind}" for part in ("train", "val", "test") for kind in ("images", "labels")}
        assert arrays["train_images"].shape[1:] == (28, 28, 28)
        assert arrays["train_labels"].shape[1:] == (1,)
        assert arrays["test_labels"][-1, 0] not in (0, 1)


def test_a_real_card_has_no_simulated_default(tmp_path):
    with pytest.raises(CardError, match=r"no simulated default.*\n.*data fetch.*twin"):
        simulate("chexpert", tmp_path, 0, "default")


def test_the_default_has_hundreds_of_films_with_every_finding_in_every_split():
    films = list(visits(0, PATIENTS["default"]))
    assert 500 < len(films) < 700
    for split in SPLITS:
        part = [film for film in films if split_of(film.patient.number) == split]
        for name in FINDINGS:
            assert 5 <= sum(name in film.findings for film in part) < len(part) / 2
