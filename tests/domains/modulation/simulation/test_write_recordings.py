"""Simulated recordings as files."""

import hashlib
from collections import Counter
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from armillary.core.cards.load import load_card
from armillary.core.cards.schema import Card
from armillary.core.errors import DataError
from armillary.domains.modulation.readers.satellites import load_satellites
from armillary.domains.modulation.simulation.write_recordings import (
    write_satellites_twin,
    write_simulated_receiver_audio,
)


def card(name: str) -> Card:
    return load_card(files("armillary.data_cards.modulation") / f"{name}.yaml")


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "abc"]
    for folder, seed in zip(folders, (1, 1, 2), strict=True):
        folder.mkdir()
        assert write_satellites_twin(folder, seed) == (10, "sim_009.wav")
    assert content(folders[0]) == content(folders[1])
    assert content(folders[0]) != content(folders[2])


def test_twins_are_small_and_have_the_columns_of_the_real_table(tmp_path: Path) -> None:
    write_satellites_twin(tmp_path, 0)
    assert sum(len(data) for data in content(tmp_path).values()) < 200_000
    head, *rows = (tmp_path / "labels.csv").read_text().splitlines()
    assert head == (
        "file,satellite,modulation,decoded,candidate_baudrates,candidate_framings,sample_rate_hz,n_samples,"
        "duration_s,sha256"
    )
    assert Counter(row.split(",")[2] for row in rows) == {"AFSK": 4, "BPSK": 2, "DBPSK": 1, "FSK": 3}


def test_the_twin_of_the_simulated_set_has_every_class_snr_labels_and_a_broken_file(tmp_path: Path) -> None:
    assert write_simulated_receiver_audio(tmp_path, 0, "twin") == (9, "sim_008.wav")
    assert sum(len(data) for data in content(tmp_path).values()) < 200_000
    problems: list[DataError] = []
    frames = load_satellites(tmp_path, 1024, problems.append)
    assert len(problems) == 1
    assert set(frames.label) == {"AFSK", "BPSK", "FSK"}
    assert set(frames.snr_db.tolist()) == {16.0, 22.0, 28.0}


@pytest.fixture(scope="module")
def default(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("default")
    assert write_simulated_receiver_audio(folder, 0, "default") == (90, None)
    return folder


def test_the_default_set_has_ten_recordings_of_each_class_and_snr(default: Path) -> None:
    problems: list[DataError] = []
    frames = load_satellites(default, 1024, problems.append)
    assert problems == []
    keys = {str(group): (str(label), float(snr)) for group, label, snr in
            zip(frames.group, frames.label, frames.snr_db, strict=True)}  # fmt: skip
    assert set(Counter(keys.values()).values()) == {10}
    in_burst = (frames.start >= 2048) & (frames.start < 10_240)
    assert in_burst.mean() > 0.97
    assert len(frames) > 0.9 * 90 * 8
    assert np.isfinite(frames.iq).all()


def test_both_sets_have_a_card() -> None:
    real, made = card("satellite_recordings"), card("simulated_receiver_audio")
    assert real.group_key == made.group_key == "recording"
    assert not real.simulated
    assert real.licence.spdx == "Unlicense"
    assert made.generator == "armillary.domains.modulation.simulate"
    assert real.item["iq"].rate == made.item["iq"].rate == "48 kHz"


@pytest.mark.real
def test_sizes_and_digests_on_the_card_are_those_of_the_real_files(data_root: Path) -> None:
    folder = data_root / "modulation" / "satellite_recordings"
    if not folder.is_dir():
        pytest.skip("no satellite_recordings below ARMILLARY_DATA")
    for file in card("satellite_recordings").files:
        data = (folder / file.path).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file.bytes, file.sha256), file.path
