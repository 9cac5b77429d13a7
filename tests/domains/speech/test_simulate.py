"""The files of the simulated set and of the twins of published ones."""

import csv
import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from armillary.core.domain import Split
from armillary.core.errors import CardError, DataError
from armillary.core.simulations import read_stamp
from armillary.domains.speech.data import datasets, uses
from armillary.domains.speech.readers.audio import info
from armillary.domains.speech.settings import DynamicSettings, SpeechData, SpeechRun
from armillary.domains.speech.simulate import simulate
from armillary.domains.speech.systems.settings import ConvTasNetSettings

CARDS = tuple(simulate.table)
every_card = pytest.mark.parametrize("card", CARDS)
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
# What of each set a run reads here.
RUNS = [
    ("simulated_voices", {}),
    ("simulated_voices", {"noise": True, "voices": 1}),
    ("simulated_voices", {"voices": 3}),
    ("simulated_voices", {"noise": True, "dynamic": DynamicSettings(mixtures=3)}),
    ("libri2mix_mini", {"noise": True}),
    ("librispeech_mini", {"dynamic": DynamicSettings(mixtures=3)}),
    ("fsdd_subset", {"dynamic": DynamicSettings(mixtures=3)}),
    ("librimix", {"noise": True}),
    ("wsj0_mix", {}),
    ("wham", {"noise": True}),
    ("whamr", {"noise": True, "reverberant": True}),
    ("whamr", {}),
]


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("twins")
    return {card: simulate(card, root, 0, "twin") for card in CARDS}


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def digests(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files(folder)}


def run(card: str, **data: object) -> SpeechRun:
    return SpeechRun.model_construct(seed=0, data=SpeechData(card=card, **data), model=ConvTasNetSettings())


@every_card
def test_the_same_call_gives_the_same_bytes_and_another_seed_others(card: str, twins: dict[str, Path], tmp_path: Path):
    assert digests(simulate(card, tmp_path / "again", 0, "twin")) == digests(twins[card])
    other = digests(simulate(card, tmp_path / "other", 1, "twin"))
    assert other != digests(twins[card])
    assert card in ("wsj0_mix", "wham", "whamr") or other.keys() == digests(twins[card]).keys()


@every_card
def test_a_twin_is_below_200_kb_and_lies_where_its_card_says(card: str, twins: dict[str, Path]):
    assert twins[card].parts[-2:] == ("speech", card)
    assert sum(path.stat().st_size for path in files(twins[card])) < 200_000


@every_card
def test_a_stamp_tells_what_made_the_folder_and_what_is_broken(card: str, twins: dict[str, Path]):
    stamp = read_stamp(twins[card])
    assert stamp
    assert (stamp.card, stamp.seed, stamp.size) == (card, 0, "twin")
    assert stamp.objects > 0
    assert stamp.broken


@pytest.mark.parametrize(("card", "data"), RUNS)
def test_every_split_of_a_twin_is_read_and_the_broken_item_is_told(card: str, data: dict, twins: dict[str, Path]):
    config = run(card, **data)
    problems: list[DataError] = []
    for split in SPLITS:
        items = datasets(config, {name: twins[name] for name in uses(config)}, split)
        item = items[(1, 0)]
        assert item["sources"].shape == (config.data.voices, len(item["mixture"]))
        assert np.abs(item["mixture"]).max() > 0
        problems += items.problems
    stamp = read_stamp(twins[card])
    assert stamp
    assert stamp.broken
    assert any(stamp.broken in str(problem) for problem in problems)


def test_exactly_one_noise_of_the_noise_twin_is_broken(twins: dict[str, Path]):
    paths = sorted(twins["speech_commands_noise"].glob("*.flac"))
    unusable = []
    for path in paths:
        try:
            info(path)
        except DataError:
            unusable.append(path.stem)
    assert unusable == ["exercise_bike"]
    assert len(paths) == 3


def test_names_and_formats_are_those_of_the_originals(twins: dict[str, Path]):
    names = {path.stem for path in (twins["wsj0_mix"] / "2speakers" / "wav8k" / "min" / "tr" / "mix").iterdir()}
    assert all(re.fullmatch(r"\w{8}_[\d.]+_\w{8}_-[\d.]+", name) for name in names)
    noisy = twins["wham"] / "wav8k" / "min" / "tt"
    assert {path.name for path in noisy.iterdir()} == {"mix_clean", "mix_both", "mix_single", "s1", "s2", "noise"}
    about = soundfile.info(next((noisy / "noise").iterdir()))
    assert (about.samplerate, about.channels, about.subtype) == (8000, 1, "FLOAT")
    kinds = {path.name for path in (twins["whamr"] / "wav8k" / "min" / "cv").iterdir()}
    assert kinds == {
        f"{kind}_{suffix}" for kind in ("mix_clean", "mix_both", "mix_single", "s1", "s2")
        for suffix in ("anechoic", "reverb")
    } | {"noise"}  # fmt: skip
    with (twins["librimix"] / "Libri2Mix/wav8k/min/metadata/mixture_dev_mix_both.csv").open() as stream:
        (row,) = csv.DictReader(stream)
    assert list(row) == ["mixture_ID", "mixture_path", "source_1_path", "source_2_path", "noise_path", "length"]


def test_the_table_of_utterances_tells_the_digests_of_whole_files(twins: dict[str, Path]):
    folder = twins["librispeech_mini"]
    with (folder / "utterances.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["split", "speaker_ID", "sex", "subset", "length", "origin_path", "sha1"]
    right = [
        hashlib.sha1((folder / "LibriSpeech" / row["origin_path"]).read_bytes()).hexdigest() == row["sha1"]
        for row in rows
    ]
    assert right.count(False) == 1


@pytest.fixture(scope="module")
def default(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate("simulated_voices", tmp_path_factory.mktemp("default"), 0, "default")


def test_the_default_has_two_to_four_minutes_of_voices_of_different_speakers_in_each_split(default: Path):
    seconds, speakers = 0.0, {}
    for path in (default / "LibriSpeech").rglob("*.flac"):
        about = soundfile.info(path)
        seconds += about.frames / about.samplerate
        subset = path.relative_to(default / "LibriSpeech").parts[0]
        speakers.setdefault(subset, set()).add(path.stem.split("-")[0])
    assert 120 < seconds < 240
    assert {name: len(found) for name, found in speakers.items()} == {
        "train-simulated": 12, "dev-simulated": 4, "test-simulated": 6,
    }  # fmt: skip


def test_the_default_is_read_without_a_problem_and_starts_near_0_db(default: Path):
    for split, count in (("train", 48), ("validation", 16), ("test", 24)):
        items = datasets(run("simulated_voices"), {"simulated_voices": default}, split)
        assert len(items) == count
        assert not items.problems
    item = items[(0, 0)]
    ratio = np.mean(item["sources"][0] ** 2) / np.mean(item["sources"][1] ** 2)
    assert abs(10 * np.log10(ratio)) < 12


@pytest.mark.parametrize("card", [card for card in CARDS if card != "simulated_voices"])
def test_a_published_card_has_no_simulated_default(card: str, tmp_path: Path):
    with pytest.raises(CardError, match=r"no simulated default.*\n.*data fetch.*twin.*simulated_voices"):
        simulate(card, tmp_path, 0, "default")


def test_an_unknown_card_gets_the_near_miss(tmp_path: Path):
    with pytest.raises(CardError, match=r"did you mean 'wham'"):
        simulate("wahm", tmp_path, 0, "twin")
