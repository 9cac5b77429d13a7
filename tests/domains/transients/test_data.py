"""From survey files to the items of a split: protocols, groups, bands, and what is left out."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary.core.domain import SPLITS, ReadOptions
from armillary.core.errors import ConfigError, DataError
from armillary.domains.transients.classes import PLASTICC, SPCC, ZTF_BTS
from armillary.domains.transients.data import datasets, in_bands, items, load_sample
from armillary.domains.transients.lightcurves import LightCurves
from armillary.domains.transients.read import read
from armillary.domains.transients.recipes import raw_plasticc, raw_spcc, raw_ztf, simulated
from armillary.domains.transients.settings import TransientsData, TransientsRun
from armillary.domains.transients.simulate import simulate
from armillary.domains.transients.simulation.survey import simulate_objects
from armillary.domains.transients.simulation.surveys import LSST
from armillary.domains.transients.simulation.write_plasticc import write_zenodo, write_zenodo_metadata
from armillary.domains.transients.splits import split_objects, targets

DATA = TransientsData(card="x", classes={"a": ("1", "2"), "b": ("3",)}, bands=("des_g",))


def with_data(config: TransientsRun, **changes: object) -> TransientsRun:
    """The configuration with other data settings."""
    return config.model_copy(update={"data": config.data.model_copy(update=changes)})


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Small fabricated twins of the real surveys."""
    root = tmp_path_factory.mktemp("twins")
    return {card: simulate(card, root, 0, "twin") for card in ("spcc", "ztf_bts", "simulated_lsst")}


@given(st.lists(st.integers(-1, 1), min_size=12, max_size=200), st.integers(0, 5), st.booleans())
def test_splits_are_disjoint_and_hold_every_classified_object(found: list[int], seed: int, folds: bool):
    target = np.array(found, np.int64)
    data = DATA.model_copy(update={"split_seed": seed, "protocol": "folds" if folds else "representative"})
    parts = split_objects(target, data, np.zeros(len(target), np.bool_))
    joined = np.concatenate([parts[split] for split in SPLITS])
    assert sorted(joined.tolist()) == np.flatnonzero(target >= 0).tolist()


@given(st.integers(0, 9))
def test_every_split_keeps_the_mix_of_classes(seed: int):
    target = np.repeat([0, 1], [600, 300]).astype(np.int64)
    data = DATA.model_copy(update={"split_seed": seed})
    parts = split_objects(target, data, np.zeros(900, np.bool_))
    assert {split: np.bincount(target[parts[split]]).tolist() for split in SPLITS} == {
        "train": [360, 180], "validation": [120, 60], "test": [120, 60],
    }  # fmt: skip


def test_each_object_is_tested_in_exactly_one_fold():
    target = np.array([0, 1] * 37, np.int64)
    tested = [
        split_objects(target, DATA.model_copy(update={"protocol": "folds", "fold": fold}), np.zeros(74, np.bool_))[
            "test"
        ]
        for fold in range(5)
    ]
    assert sorted(np.concatenate(tested).tolist()) == list(range(74))


def test_the_official_protocol_trains_on_the_spectroscopic_sample_alone():
    target = np.array([0, 1] * 50, np.int64)
    spectroscopic = np.arange(100) < 40
    parts = split_objects(target, DATA.model_copy(update={"protocol": "official"}), spectroscopic)
    assert set(parts["test"]) == set(range(40, 100))
    assert set(parts["train"]) | set(parts["validation"]) == set(range(40))


def test_broken_protocols_say_what_was_expected():
    target, none = np.zeros(10, np.int64), np.zeros(10, np.bool_)
    with pytest.raises(ConfigError, match="add up to 1"):
        split_objects(target, DATA.model_copy(update={"fractions": (0.9, 0.2, 0.2)}), none)
    with pytest.raises(ConfigError, match="expected 0 to 4"):
        split_objects(target, DATA.model_copy(update={"protocol": "folds", "fold": 5}), none)
    with pytest.raises(ConfigError, match="label '1' is in 'b' and in 'a'"):
        targets(["1"], {"a": ("1",), "b": ("1",)})


@pytest.mark.parametrize("classes", [PLASTICC, SPCC, ZTF_BTS])
def test_no_label_is_in_two_classes(classes: dict[str, tuple[str, ...]]):
    labels = [label for members in classes.values() for label in members]
    assert targets(labels, classes).tolist() == [k for k, members in enumerate(classes.values()) for _ in members]


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """The full PLAsTiCC release in small: a training set, and a test set in two files with one metadata table."""
    objects = simulate_objects(LSST, 3, 90)
    write_zenodo(
        objects[:20], tmp_path / "plasticc_train_lightcurves.csv.gz", tmp_path / "plasticc_train_metadata.csv.gz"
    )
    for number, part in enumerate((objects[20:60], objects[60:]), 1):
        write_zenodo(part, tmp_path / f"plasticc_test_lightcurves_{number:02d}.csv.gz", tmp_path / "part.csv.gz")
    (tmp_path / "part.csv.gz").unlink()
    write_zenodo_metadata(objects[20:], tmp_path / "plasticc_test_metadata.csv.gz")
    return tmp_path


def test_the_full_plasticc_release_has_its_two_samples(release: Path):
    config = raw_plasticc()
    whole = load_sample(config.data, release)
    assert len(whole.curves) == 70
    assert not whole.spectroscopic.any()
    official = load_sample(config.data.model_copy(update={"protocol": "official"}), release)
    assert official.spectroscopic.sum() == 20
    assert set(official.curves.label) <= {label for labels in PLASTICC.values() for label in labels}
    tested = datasets(config, {"plasticc_full": release}, "test")
    trained = datasets(config, {"plasticc_full": release}, "train")
    assert set(tested.ids).isdisjoint(trained.ids)
    assert len(trained) > len(tested) > 5


def test_a_card_without_a_spectroscopic_sample_has_no_official_protocol(twins: dict[str, Path]):
    with pytest.raises(ConfigError, match="ztf_bts has no spectroscopic sample"):
        datasets(with_data(raw_ztf(), protocol="official"), twins, "train")


def test_missing_survey_files_are_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"photo_subset\.tar\.xz"):
        datasets(raw_spcc(), {"spcc": tmp_path}, "train")


def test_a_second_call_maps_the_stored_light_curves(twins: dict[str, Path], monkeypatch: pytest.MonkeyPatch):
    data = with_data(raw_spcc(), protocol="official").data
    first = load_sample(data, twins["spcc"])
    monkeypatch.setattr("armillary.domains.transients.store.read", None)
    again = load_sample(data, twins["spcc"])
    np.testing.assert_array_equal(first.curves.flux, again.curves.flux)
    assert first.spectroscopic.any()
    assert not first.spectroscopic.all()


def test_an_object_without_a_detection_is_named_and_left_out(twins: dict[str, Path]):
    chunk = next(iter(read([twins["spcc"]], ReadOptions(lambda error: None))))
    quiet = chunk.assign(detected=("observation", np.zeros(chunk.sizes["observation"], np.bool_)))
    found = items(raw_spcc(), quiet)
    assert len(found) == 0
    assert len(found.problems) == chunk.sizes["object"]
    assert "no detection" in str(found.problems[0])


def test_bands_are_renumbered_and_unknown_ones_refused(twins: dict[str, Path]):
    chunk = next(iter(read([twins["spcc"]], ReadOptions(lambda error: None))))
    curves = LightCurves.from_dataset(chunk)
    turned = in_bands(curves, curves.band[::-1])
    np.testing.assert_array_equal(np.array(turned.band)[turned.band_index], np.array(curves.band)[curves.band_index])
    with pytest.raises(DataError, match="observations in des_z, expected only"):
        in_bands(curves, curves.band[:3])
    with pytest.raises(DataError, match="expected only ztf_g, ztf_r"):
        items(raw_ztf(), chunk)


def test_times_count_from_the_first_detection_and_start_at_most_50_days_before(twins: dict[str, Path]):
    config = with_data(raw_spcc(), protocol="official")
    found = datasets(config, twins, "test")
    for index in range(len(found)):
        time = found[(0, index)]["time"]
        assert time.min() >= -50
        assert (time == 0).any()
        assert (np.diff(time) >= 0).all()


def test_a_limit_keeps_an_even_choice(twins: dict[str, Path]):
    whole = datasets(simulated(), twins, "train")
    some = datasets(with_data(simulated(), limit=5), twins, "train")
    assert len(some) == 5
    assert set(some.ids) < set(whole.ids)


def test_left_out_classes_join_the_test_split_as_unknown(twins: dict[str, Path]):
    fewer = {name: labels for name, labels in PLASTICC.items() if name not in ("AGN", "Mira")}
    closed = datasets(with_data(simulated(), classes=fewer), twins, "test")
    opened = datasets(with_data(simulated(), classes=fewer, open_set=True), twins, "test")
    assert (closed.targets >= 0).all()
    assert (opened.targets < 0).sum() == len(opened) - len(closed) > 0
    assert (datasets(with_data(simulated(), classes=fewer, open_set=True), twins, "train").targets >= 0).all()


def test_augmentation_changes_training_items_only(twins: dict[str, Path]):
    found = datasets(simulated(), twins, "train")
    plain, first, second = (found[(epoch, 0)] for epoch in (0, 1, 2))
    assert not np.array_equal(plain["flux"], first["flux"])
    assert not np.array_equal(first["flux"], second["flux"])
    np.testing.assert_array_equal(plain["flux"], found[(0, 0)]["flux"])


def test_other_bands_can_be_left_out(twins: dict[str, Path]):
    config = with_data(simulated(), bands=("lsst_g", "lsst_r"), other_bands="drop")
    found = datasets(config, twins, "train")
    whole = datasets(simulated(), twins, "train")
    assert set(found.curves.band) == {"lsst_g", "lsst_r"}
    assert set(found.ids) <= set(whole.ids)
    assert found.curves.row_size.sum() < whole.curves.row_size.sum()
    assert {int(b) for b in found[(0, 0)]["band"]} <= {0, 1}
