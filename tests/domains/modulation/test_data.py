"""From a configuration to the items of a split, and from windows of files to items to predict."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from armillary.core.domain import Split
from armillary.core.errors import ConfigError, DataError
from armillary.domains.modulation.classes import RML2016A, SATELLITE
from armillary.domains.modulation.data import datasets, items
from armillary.domains.modulation.frames import Frames
from armillary.domains.modulation.items import FrameItems, GeneratedItems
from armillary.domains.modulation.recipes import clst_rml2016a, clst_rml2018, satellites
from armillary.domains.modulation.settings import GeneratorSettings, ModulationRun
from armillary.domains.modulation.simulate import simulate
from armillary.domains.modulation.simulation.rml2018 import RML2018

CARDS = ("simulated_rml2016a", "satellite_recordings")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("data")
    return {card: simulate(card, root, 0, "twin") for card in CARDS}


def configured(run: ModulationRun | None = None, **data: object) -> ModulationRun:
    run = run or clst_rml2016a()
    return run.model_copy(update={"data": run.data.model_copy(update={"card": "simulated_rml2016a", **data})})


def split(config: ModulationRun, folders: dict[str, Path], name: Split) -> FrameItems:
    found = datasets(config, folders, name)
    assert isinstance(found, FrameItems)
    return found


def chunk(number: int = 4, length: int = 128, rate: float = 200e3, **attrs: object) -> xr.Dataset:
    """Labelled frames as a reader gives them."""
    rng = np.random.default_rng(0)
    ids = np.array([f"f{i}" for i in range(number)])
    frames = Frames(
        rng.standard_normal((number, 2, length)).astype(np.float32),
        np.array(["QPSK", "?"])[np.arange(number) % 2],
        np.zeros(number, np.float32),
        ids,
        ids,
        np.zeros(number, np.int64),
        sample_rate_hz=rate,
        sources=("air.sigmf-meta",),
    )
    return frames.to_dataset().assign_attrs(attrs)


def test_splits_are_disjoint_and_hold_every_usable_frame(folders: dict[str, Path]):
    parts = [split(configured(), folders, name) for name in ("train", "validation", "test")]
    ids = [set(part.ids) for part in parts]
    assert list(map(len, ids)) == [len(part) for part in parts]
    assert len(set().union(*ids)) == sum(map(len, ids)) == 109
    for part in parts:
        assert [RML2016A[target] for target in part.targets] == [name.split("/")[0] for name in part.ids]


def test_a_broken_frame_is_reported_with_the_split(folders: dict[str, Path]):
    (problem,) = split(configured(), folders, "train").problems
    assert "WBFM/18/0004" in str(problem)


def test_labels_outside_the_classes_are_left_out(folders: dict[str, Path]):
    config = configured(classes=("QPSK", "BPSK"))
    assert sum(len(split(config, folders, name)) for name in ("train", "validation", "test")) == 20


def test_open_set_labels_join_the_test_split_alone(folders: dict[str, Path]):
    narrow = configured(classes=("QPSK", "BPSK"))
    wide = configured(classes=("QPSK", "BPSK"), open_set=("GFSK",))
    for name in ("train", "validation"):
        assert split(wide, folders, name).ids.tolist() == split(narrow, folders, name).ids.tolist()
    test = split(wide, folders, "test")
    strange = test.targets == -1
    assert {name.split("/")[0] for name in test.ids[strange]} == {"GFSK"}
    assert strange.sum() == 10
    assert test.ids[~strange].tolist() == split(narrow, folders, "test").ids.tolist()


def test_few_shot_takes_so_many_training_frames_of_each_class_and_label(folders: dict[str, Path]):
    few, full = (split(configured(per_key=count), folders, "train") for count in (1, None))
    keys, counts = np.unique(np.stack([few.targets, few.snr_db]), axis=1, return_counts=True)
    assert keys.shape[1] == 22
    assert set(counts) == {1}
    assert set(few.ids) < set(full.ids)


def test_satellites_train_on_simulated_audio_and_test_on_recordings(folders: dict[str, Path]):
    run = satellites()
    small = run.model_copy(
        update={"data": run.data.model_copy(update={"generator": GeneratorSettings(train_per_key=2)})}
    )
    train, test = datasets(small, folders, "train"), datasets(small, folders, "test")
    assert isinstance(train, GeneratedItems)
    assert isinstance(test, FrameItems)
    assert len(train) == 2 * 3 * 8
    assert train.class_names == SATELLITE
    assert train[1, 0]["iq"].shape == test[0, 0]["iq"].shape == (2, 1024)
    assert test.frames.sample_rate_hz == 48e3
    assert set(test.targets) == {0, 1, 2}
    # Windows of one recording share a group; the broken recording is named.
    assert len(set(test.groups)) == 9
    assert len(test) > 9
    assert "sim_009.wav" in " ".join(map(str, test.problems))


def test_a_generator_trains_and_validates_and_the_card_tests(folders: dict[str, Path]):
    config = configured(generator=GeneratorSettings(train_per_key=1, validation_per_key=1))
    assert isinstance(datasets(config, folders, "train"), GeneratedItems)
    assert isinstance(datasets(config, {}, "validation"), GeneratedItems)
    test = split(config, folders, "test")
    assert test.ids.tolist() == split(configured(), folders, "test").ids.tolist()


def test_the_generator_gives_the_classes_in_the_order_of_the_run():
    one, other = (
        datasets(configured(classes=classes, generator=GeneratorSettings(train_per_key=1)), {}, "train")
        for classes in (("CPFSK", "QAM64"), ("QAM64", "CPFSK"))
    )
    assert isinstance(one, GeneratedItems)
    assert isinstance(other, GeneratedItems)
    for items_ in (one, other):
        strong = np.flatnonzero(items_.snr_db == 18).astype(np.int64)
        modulus = np.hypot(*items_.iq(strong).transpose(1, 0, 2))
        spread = modulus.std(1) / modulus.mean(1)
        name = np.array(items_.class_names)[items_.targets[strong]]
        assert spread[name == "CPFSK"].max() < spread[name == "QAM64"].min()


def test_a_card_without_a_generator_is_refused():
    with pytest.raises(ConfigError, match=r"data\.generator: no generator stands for the card 'hisarmod'"):
        datasets(configured(card="hisarmod", generator=GeneratorSettings()), {}, "train")


def test_a_class_that_the_generator_has_not_is_refused_with_those_it_has():
    config = configured(classes=("QPSK", "OQPSK"), generator=GeneratorSettings())
    with pytest.raises(ConfigError, match=r"data\.classes: the generator of simulated_rml2016a has no OQPSK.*8PSK"):
        datasets(config, {}, "train")


def test_the_generator_of_2018_wants_true_labels():
    data = clst_rml2018().data.model_copy(update={"generator": GeneratorSettings(train_per_key=1)})
    run = clst_rml2018().model_copy(update={"data": data})
    with pytest.raises(ConfigError, match="calibrated"):
        datasets(run, {}, "train")
    settings = GeneratorSettings(train_per_key=1, noise="calibrated")
    true = run.model_copy(update={"data": data.model_copy(update={"generator": settings})})
    made = datasets(true, {}, "train")
    assert len(made) == 24 * 26
    assert made[1, 0]["iq"].shape == (2, 1024)
    assert made.class_names == RML2018.classes


def test_a_set_at_another_rate_is_refused_with_both(folders: dict[str, Path]):
    with pytest.raises(DataError, match=r"sampled at 200000 Hz.*trained at 1e\+06 Hz"):
        datasets(configured(sample_rate_hz=1e6), folders, "train")


def test_windows_become_items_whose_labels_are_known_where_they_are_ours():
    found = items(clst_rml2016a(), chunk())
    assert isinstance(found, FrameItems)
    assert found.targets.tolist() == [RML2016A.index("QPSK"), -1] * 2
    np.testing.assert_array_equal(found[0, 2]["iq"], chunk()["iq"].values[2])


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (chunk(length=100), r"frames of 100 samples, the model takes 128"),
        (chunk(rate=48e3), r"sampled at 48000 Hz, the model was trained at 200000 Hz"),
        (chunk(rate=float("nan")), r"the sample rate is unknown; the model was trained at 200000 Hz"),
    ],
    ids=["length", "rate", "unknown"],
)
def test_frames_that_the_model_does_not_take_are_refused_with_both_numbers(made: xr.Dataset, message: str):
    with pytest.raises(DataError, match=message) as caught:
        items(clst_rml2016a(), made)
    assert caught.value.path is not None
    assert "air.sigmf-meta" in str(caught.value.path)
    assert caught.value.advice


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0])
def test_a_frame_that_is_not_finite_or_all_zero_is_left_out_and_named(bad: float):
    made = chunk()
    made["iq"][1] = bad
    found = items(clst_rml2016a(), made)
    assert isinstance(found, FrameItems)
    assert found.ids.tolist() == ["f0", "f2", "f3"]
    (problem,) = found.problems
    assert problem.item == "f1"


def test_windows_of_a_recording_are_told_from_frames_of_a_set():
    run = clst_rml2016a()
    for made, capture in ((chunk(capture=1), True), (chunk(capture=0), False), (chunk(), False)):
        found = items(run, made)
        assert isinstance(found, FrameItems)
        assert found.capture is capture
    later = chunk()
    later["start"] = ("item", np.arange(4) * 128)
    found = items(run, later)
    assert isinstance(found, FrameItems)
    assert found.capture
