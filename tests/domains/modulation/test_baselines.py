"""The forest on expert features learns, repeats itself and keeps to the records of the domain."""

import numpy as np
import pytest

from armillary.domains.modulation.baselines import RandomForestBaseline, baselines
from armillary.domains.modulation.frames import Frames
from armillary.domains.modulation.items import FrameItems, GeneratedItems
from armillary.domains.modulation.metrics import metrics
from armillary.domains.modulation.recipes import simulated
from armillary.domains.modulation.settings import GeneratorSettings, ModulationRun
from armillary.domains.modulation.simulation.rml2016 import RML2016A

GENERATOR = GeneratorSettings(noise="calibrated")


@pytest.fixture(scope="module")
def config() -> ModulationRun:
    plain = simulated()
    return plain.model_copy(update={"data": plain.data.model_copy(update={"snr_db": (16.0, 18.0)})})


def generated(config: ModulationRun, split: str, per_key: int) -> GeneratedItems:
    return GeneratedItems(config, RML2016A("calibrated"), split, per_key, GENERATOR)


def without_labels(config: ModulationRun, count: int = 4) -> FrameItems:
    iq = np.random.default_rng(0).standard_normal((count, 2, 128)).astype(np.float32)
    names = np.char.add("frame ", np.arange(count).astype(np.str_))
    frames = Frames(
        iq, np.full(count, ""), np.full(count, np.nan, np.float32), names, names, np.zeros(count, np.int64), 200e3
    )
    return FrameItems(config, frames, np.full(count, -1, np.int64), np.arange(count, dtype=np.int64))


def fitted(config: ModulationRun) -> RandomForestBaseline:
    forest = RandomForestBaseline(config)
    forest.TREES = 40
    forest.fit(generated(config, "train", 15), generated(config, "validation", 5))
    return forest


@pytest.fixture(scope="module")
def forest(config: ModulationRun) -> RandomForestBaseline:
    return fitted(config)


def test_the_forest_is_far_better_than_chance_on_strong_generated_frames(
    config: ModulationRun, forest: RandomForestBaseline
):
    items = generated(config, "test", 10)
    records = forest.predict(items)
    right = records["probability"].values.argmax(1) == records["truth"].values
    assert right.mean() > 0.5  # chance is 1/11


def test_records_have_the_domains_variables_in_the_items_order(config: ModulationRun, forest: RandomForestBaseline):
    items = generated(config, "test", 2)
    records = forest.predict(items)
    assert records["item"].values.tolist() == list(items.ids)
    assert tuple(records["class"].values) == config.data.classes
    assert records["probability"].dims == ("item", "class")
    assert records["probability"].dtype == np.float32
    np.testing.assert_allclose(records["probability"].sum("class"), 1, atol=1e-5)
    np.testing.assert_array_equal(records["truth"], items.targets)
    np.testing.assert_array_equal(records["snr_db"], items.snr_db)
    assert records["snr_db"].attrs["units"] == "dB"
    assert 0 < metrics(config)["accuracy"].value(records, np.ones(len(items))) <= 1


def test_frames_without_labels_are_predicted_with_unknown_truth(config: ModulationRun, forest: RandomForestBaseline):
    records = forest.predict(without_labels(config))
    assert (records["truth"] == -1).all()
    assert np.isnan(records["snr_db"]).all()
    np.testing.assert_allclose(records["probability"].sum("class"), 1, atol=1e-5)


def test_the_same_seed_gives_the_same_answer(config: ModulationRun, forest: RandomForestBaseline):
    items = generated(config, "test", 1)
    again = fitted(config).predict(items)
    np.testing.assert_array_equal(again["probability"], forest.predict(items)["probability"])
    other = fitted(config.model_copy(update={"seed": config.seed + 1})).predict(items)
    assert not np.array_equal(other["probability"], again["probability"])


def test_a_class_that_was_never_seen_has_probability_zero(config: ModulationRun):
    items = generated(config, "train", 4)
    items.targets = np.where(items.targets == 3, -1, items.targets)
    forest = RandomForestBaseline(config)
    forest.TREES = 5
    forest.fit(items, items)
    probability = forest.predict(items)["probability"].values
    assert (probability[:, 3] == 0).all()
    np.testing.assert_allclose(probability.sum(1), 1, atol=1e-5)


def test_many_frames_are_thinned_evenly(config: ModulationRun):
    forest = RandomForestBaseline(config)
    forest.MOST = 50
    items = generated(config, "train", 5)
    _, targets = forest._labelled(items)
    np.testing.assert_array_equal(targets, items.targets[::3])


def test_predicting_before_fitting_says_what_to_call(config: ModulationRun):
    with pytest.raises(ValueError, match=r"not fitted: call fit\(train, validation\) before predict"):
        RandomForestBaseline(config).predict(without_labels(config))


def test_frames_without_a_known_class_cannot_train(config: ModulationRun):
    with pytest.raises(ValueError, match=r"needs frames of a known class, got 4 without; check data\.classes"):
        RandomForestBaseline(config).fit(without_labels(config), generated(config, "validation", 1))


def test_the_domain_has_one_baseline(config: ModulationRun):
    assert list(baselines(config)) == ["random_forest"]


def test_frames_whose_labels_are_hidden_stay_the_frames_they_are(config: ModulationRun):
    items, hidden = generated(config, "train", 4), generated(config, "train", 4)
    hidden.targets = np.full_like(hidden.targets, -1)
    every = np.arange(len(items), dtype=np.int64)
    np.testing.assert_array_equal(hidden.iq(every), items.iq(every))
