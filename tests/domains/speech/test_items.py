"""Items of mixtures: what is cut, scaled, padded and added, and that it depends on (seed, epoch, index) alone."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal

from armillary.domains.speech.items import MixtureItems, WindowItems
from armillary.domains.speech.mixing.lengths import looped
from armillary.domains.speech.readers.mixtures import Gathering, Listed, Part
from armillary.domains.speech.settings import SpeechData, SpeechRun
from armillary.domains.speech.systems.settings import ConvTasNetSettings

SIGNALS: dict[str, int] = {"a": 9000, "b": 7001, "c": 12000, "n": 3000, "m": 8000}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("items")
    for seed, (name, samples) in enumerate(SIGNALS.items()):
        signal = 0.1 * np.random.default_rng(seed).standard_normal(samples)
        soundfile.write(place / f"{name}.wav", signal, 8000, subtype="FLOAT")
    return place


def signal(folder: Path, name: str) -> np.ndarray:
    return soundfile.read(folder / f"{name}.wav", dtype="float32")[0]


def made(folder: Path, listed: list[Listed], training: bool = False, mode: Any = "min", **told: Any) -> MixtureItems:
    config = SpeechRun(recipe="speech/x", data=SpeechData(card="some", mode=mode, **told), model=ConvTasNetSettings())
    problems: list[Any] = []
    table = Gathering(8000, mode, problems.append, "some").table(listed, config.data.voices)
    assert not problems
    return MixtureItems(config, table, training)


def parts(folder: Path, *names: str, gains: tuple[float, ...] = (1.0, 1.0)) -> tuple[Part, ...]:
    return tuple(Part(folder / f"{name}.wav", gain) for name, gain in zip(names, gains, strict=True))


@pytest.fixture
def two(folder: Path) -> list[Listed]:
    return [
        Listed("ab", parts(folder, "a", "b", gains=(0.5, 2.0)), speakers=("1", "2"), sexes=("F", "M")),
        Listed("cb", parts(folder, "c", "b"), speakers=("3", "2"), sexes=("F", "M")),
    ]


def test_voices_are_scaled_cut_to_the_shortest_and_added(folder: Path, two: list[Listed]):
    items = made(folder, two)
    item = items[(0, 0)]
    assert_allclose(item["sources"][0], 0.5 * signal(folder, "a")[:7001])
    assert_allclose(item["sources"][1], 2.0 * signal(folder, "b"))
    assert_array_equal(item["mixture"], item["sources"].sum(0))
    assert item["mixture"].dtype == item["sources"].dtype == np.float32
    assert items.lengths.tolist() == [7001, 7001]
    assert_allclose(items.seconds, 7001 / 8000)


def test_voices_are_padded_to_the_longest_in_max_mode(folder: Path, two: list[Listed]):
    items = made(folder, two, mode="max")
    item = items[(0, 0)]
    assert item["sources"].shape == (2, 9000)
    assert_allclose(item["sources"][1, :7001], 2.0 * signal(folder, "b"))
    assert not item["sources"][1, 7001:].any()
    assert items.lengths.tolist() == [9000, 12000]


def test_items_tell_who_speaks(folder: Path, two: list[Listed]):
    items = made(folder, two)
    assert items.ids.tolist() == ["ab", "cb"]
    assert items.groups.tolist() == ["1+2", "2+3"]
    assert items.known["speakers"].tolist() == [["1", "2"], ["3", "2"]]
    assert items.known["sexes"].tolist() == [["F", "M"], ["F", "M"]]


@pytest.mark.parametrize("mode", ["min", "max"])
def test_noise_begins_at_its_start_and_goes_on_where_it_ends(folder: Path, mode: str):
    # A start counts at 16 kHz.
    noise = Part(folder / "n.wav", 3.0, 2 * 1000)
    items = made(folder, [Listed("ab", parts(folder, "a", "b"), noise)], mode=mode, noise=True)
    item = items[(0, 0)]
    expected = 3.0 * looped(signal(folder, "n")[1000:], 9000, 8000)[: item["mixture"].shape[0]]
    assert_allclose(item["mixture"] - item["sources"].sum(0), expected, atol=1e-6)


def test_training_items_are_parts_of_the_whole_drawn_anew_in_every_epoch(folder: Path, two: list[Listed]):
    noise = Part(folder / "n.wav", 3.0, 100)
    listed = [Listed("ab", two[0].voices, noise), Listed("cb", two[1].voices, noise)]
    items = made(folder, listed, training=True, segment_s=0.25)
    whole, starts = items[(0, 1)], set[int]()
    assert whole["mixture"].shape == (7001,)
    assert items.lengths.tolist() == [2000, 2000]
    for epoch in range(1, 9):
        item = items[(epoch, 1)]
        assert item["sources"].shape == (2, 2000)
        place = int(np.flatnonzero(whole["sources"][0] == item["sources"][0, 0])[0])
        assert_array_equal(item["sources"], whole["sources"][:, place : place + 2000])
        assert_array_equal(item["mixture"], whole["mixture"][place : place + 2000])
        starts.add(place)
    assert len(starts) == 8


def test_a_mixture_shorter_than_a_segment_comes_whole(folder: Path, two: list[Listed]):
    items = made(folder, two, training=True, segment_s=2.0)
    assert items[(3, 0)]["mixture"].shape == (7001,)
    assert items.lengths.tolist() == [7001, 7001]
    assert made(folder, two, training=True, segment_s=None)[(3, 0)]["mixture"].shape == (7001,)


def test_the_same_key_gives_the_same_item_after_pickling(folder: Path, two: list[Listed]):
    items = made(folder, two, training=True, segment_s=0.25)
    again = pickle.loads(pickle.dumps(items))
    for key in ((0, 0), (1, 0), (1, 1), (1, 0)):
        for name, value in items[key].items():
            assert_array_equal(again[key][name], value)
    chosen = items.select(np.array([1], np.int64))
    assert chosen.ids.tolist() == ["cb"]
    assert_array_equal(chosen[(0, 0)]["sources"], items[(0, 1)]["sources"])


def test_a_mixture_with_a_file_of_its_own_is_that_file(folder: Path):
    listed = Listed("m", (Part(folder / "m.wav"),) * 2, mixture=folder / "m.wav")
    item = made(folder, [listed])[(0, 0)]
    assert_array_equal(item["mixture"], signal(folder, "m"))


def test_batches_are_padded_and_tell_lengths(folder: Path, two: list[Listed]):
    items = made(folder, two, mode="max")
    batch = items.collate([items[(0, 1)], items[(0, 0)]])
    assert batch["mixture"].shape == (2, 12000)
    assert batch["sources"].shape == (2, 2, 12000)
    assert batch["length"].tolist() == [12000, 9000]
    assert batch["index"].tolist() == [1, 0]
    assert not batch["sources"][1, :, 9000:].any()


def test_a_file_that_breaks_after_it_was_looked_at_is_silent_and_warned_of(tmp_path: Path, folder: Path):
    for name in "ab":
        (tmp_path / f"{name}.wav").write_bytes((folder / f"{name}.wav").read_bytes())
    items = made(tmp_path, [Listed("ab", parts(tmp_path, "a", "b"), Part(folder / "n.wav"))])
    (tmp_path / "b.wav").unlink()
    with pytest.warns(RuntimeWarning, match=r"b\.wav: cannot be opened"):
        item = items[(0, 0)]
    assert_allclose(item["sources"][0], signal(folder, "a")[:7001])
    assert not item["sources"][1].any()


def test_windows_are_items_without_padding_and_without_voices():
    mixture = np.zeros((2, 10), np.float32)
    mixture[0], mixture[1, :4] = 0.5, 0.25
    chunk = xr.Dataset(
        {
            "mixture": (("item", "sample"), mixture), "length": ("item", np.array([10, 4])),
            "start": ("item", np.array([0, 8])), "file": ("item", ["a.wav"] * 2), "last": ("item", [False, True]),
        },
        {"item": ["a.wav:0", "a.wav:8"]},
    )  # fmt: skip
    items = WindowItems(chunk, 2)
    assert len(items) == 2
    assert items.groups.tolist() == ["a.wav", "a.wav"]
    assert items[(0, 1)]["mixture"].tolist() == [0.25] * 4
    batch = items.collate([items[(0, 0)], items[(0, 1)]])
    assert "sources" not in batch
    assert batch["length"].tolist() == [10, 4]
    assert items.known["speakers"].shape == (2, 2)
