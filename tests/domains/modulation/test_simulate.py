"""The files of the simulated sets and of the twins of published ones."""

import csv
import gzip
import hashlib
import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest

from armillary.core.errors import CardError, DataError
from armillary.core.simulations import read_stamp
from armillary.domains.modulation.classes import RML2016A, RML2016B, RML2018
from armillary.domains.modulation.readers.dataset import load_card
from armillary.domains.modulation.simulate import simulate
from armillary.domains.modulation.simulation.rml2016 import RML2016A as Generator
from armillary.domains.modulation.simulation.write_sets import write_rml2016a

CARDS = tuple(simulate.table)
PICKLES = {
    "rml2016a": "RML2016.10a_dict.pkl",
    "rml2016b": "RML2016.10b.dat",
    "rml2016a_regen": "RML2016.10a_regen80_dict.pkl.gz",
    "simulated_rml2016a": "RML2016.10a_simulated_dict.pkl.gz",
}
every_card = pytest.mark.parametrize("card", CARDS)
every_pickle = pytest.mark.parametrize("card", PICKLES)


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("twins")
    return {card: simulate(card, root, 0, "twin") for card in CARDS}


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files(folder)}


@every_card
def test_the_same_call_gives_the_same_bytes_and_another_seed_others(card: str, twins: dict[str, Path], tmp_path: Path):
    assert digests(simulate(card, tmp_path / "again", 0, "twin")) == digests(twins[card])
    assert digests(simulate(card, tmp_path / "other", 1, "twin")) != digests(twins[card])


@every_card
def test_a_twin_is_below_200_kb_and_lies_where_its_card_says(card: str, twins: dict[str, Path]):
    folder = twins[card]
    assert folder.parts[-2:] == ("modulation", card)
    assert sum(path.stat().st_size for path in files(folder)) < 200_000


@every_card
def test_a_stamp_tells_what_made_the_folder(card: str, twins: dict[str, Path]):
    stamp = read_stamp(twins[card])
    assert stamp
    assert (stamp.card, stamp.seed, stamp.size) == (card, 0, "twin")
    assert stamp.objects > 0


@pytest.mark.parametrize("card", [card for card in CARDS if card not in ("rml2018", "hisarmod")])
def test_a_broken_item_is_reported_and_the_others_are_read(card: str, twins: dict[str, Path]):
    problems: list[DataError] = []
    frames = load_card(twins[card], problems.append)
    stamp = read_stamp(twins[card])
    assert stamp
    assert stamp.broken
    assert any(stamp.broken in str(problem) for problem in problems)
    if card in PICKLES:
        assert len(problems) == 1
        assert len(frames) == stamp.objects - 1
        assert stamp.broken not in frames.id


def test_the_broken_frame_of_hdf5_is_reported_when_it_is_read(twins: dict[str, Path]):
    problems: list[DataError] = []
    frames = load_card(twins["rml2018"], problems.append)
    stamp = read_stamp(twins["rml2018"])
    assert stamp
    assert not problems
    assert frames.id[-1] == stamp.broken
    assert np.isfinite(frames.iq[np.arange(len(frames) - 1)]).all()
    with pytest.raises(DataError, match="not finite"):
        frames.iq[np.array([len(frames) - 1])]


def test_the_broken_rows_of_hisarmod_are_reported_and_the_others_are_read(twins: dict[str, Path]):
    problems: list[DataError] = []
    frames = load_card(twins["hisarmod"], problems.append)
    assert problems
    assert len(frames) == 7
    assert set(frames.label) == {"BPSK", "QPSK"}
    assert set(frames.snr_db) == {10}


@every_pickle
def test_pickles_load_as_those_who_have_the_originals_load_them(card: str, twins: dict[str, Path]):
    path = twins[card] / PICKLES[card]
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
        content = pickle.load(stream, encoding="latin1")
    classes = RML2016B if card == "rml2016b" else RML2016A
    assert set(content) == {(name, snr) for name in classes for snr in (-10, 18)}
    for (name, snr), array in content.items():
        assert isinstance(name, str)
        assert type(snr) is int
        assert array.shape == (5, 2, 128)
        assert array.dtype == np.float32
        whole = np.hypot(array[:, 0], array[:, 1]).sum(1)
        np.testing.assert_allclose(whole[np.isfinite(whole)], 1, rtol=1e-5)


def test_hdf5_has_the_layout_of_rml2018(twins: dict[str, Path]):
    with h5py.File(twins["rml2018"] / "GOLD_XYZ_OSC.0001_1024.hdf5") as file:
        assert {name: (data.shape, data.dtype) for name, data in file.items()} == {
            "X": ((20, 1024, 2), np.float32),
            "Y": ((20, 24), np.int64),
            "Z": ((20, 1), np.int64),
        }
        assert (file["Y"][:].sum(1) == 1).all()
        assert file["Y"][:].argmax(1).tolist() == list(range(20))
    frames = load_card(twins["rml2018"], lambda error: None)
    assert frames.label.tolist() == list(RML2018[:20])
    assert frames.length == 1024


def test_hisarmod_has_one_row_a_frame_in_three_tables(twins: dict[str, Path]):
    folder = twins["hisarmod"] / "Train"
    rows = list(csv.reader((folder / "train_data.csv").read_text().splitlines()))
    assert {len(row) for row in rows} == {1024}
    assert len(rows) == len((folder / "train_labels.csv").read_text().split())
    assert len(rows) == len((folder / "train_snr.csv").read_text().split())


def test_the_default_has_48_frames_of_every_class_and_label(tmp_path: Path):
    count, broken = write_rml2016a(tmp_path, 0, "default")
    assert (count, broken) == (10_560, None)
    frames = load_card(tmp_path, lambda error: pytest.fail(str(error)))
    keys, counts = np.unique(np.char.add(frames.label, frames.snr_db.astype(np.str_)), return_counts=True)
    assert len(keys) == 220
    assert set(counts) == {48}
    assert len(np.unique(frames.iq[np.arange(10_560)].reshape(10_560, -1), axis=0)) == 10_560
    assert set(frames.label) == set(Generator.classes)


@pytest.mark.parametrize("card", ["rml2016a", "rml2016b", "rml2018", "hisarmod", "satellite_recordings"])
def test_a_published_card_has_no_simulated_default(card: str, tmp_path: Path):
    with pytest.raises(CardError, match=r"no simulated default.*\n.*data fetch.*twin.*simulated_rml2016a"):
        simulate(card, tmp_path, 0, "default")


def test_an_unknown_card_gets_the_near_miss(tmp_path: Path):
    with pytest.raises(CardError, match=r"did you mean 'rml2016b'"):
        simulate("rml2016", tmp_path, 0, "twin")
