"""The baselines learn, stay within the contract and repeat themselves."""

from dataclasses import dataclass

import numpy as np
import pytest

from armillary.domains.transients.baselines import LightGBMBaseline, RandomForestBaseline, baselines
from armillary.domains.transients.lightcurves import LightCurves
from armillary.domains.transients.metrics import metrics
from armillary.domains.transients.recipes import raw_ztf
from armillary.domains.transients.settings import TransientsRun

CLASSES = ("Ia-like", "II-like", "Ibc-like", "other")
KINDS = (RandomForestBaseline, LightGBMBaseline)


@dataclass(frozen=True)
class FakeItems:
    curves: LightCurves
    targets: np.ndarray
    class_names: tuple[str, ...] = CLASSES
    problems: tuple = ()

    @property
    def ids(self) -> np.ndarray:
        return self.curves.object_id

    groups = ids

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, int]:
        return {"target": int(self.targets[key[1]])}

    def collate(self, items):
        return {"target": [item["target"] for item in items]}


def _items(number: int, seed: int, targets: np.ndarray | None = None) -> FakeItems:
    """Exponential decays: the class decides how fast and how red; brightness is drawn."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 4, number) if targets is None else targets
    time = np.sort(rng.uniform(0, 60, (number, 24)), 1)
    band = np.tile(np.arange(24) % 2, (number, 1))
    decay = np.array([10.0, 20.0, 40.0, 80.0])[truth][:, None]
    flux = rng.uniform(50, 100, (number, 1)) * np.exp(-time / decay) * (1 + 0.3 * band * truth[:, None])
    unknown = np.full(number, np.nan)
    curves = LightCurves(
        object_id=np.array([f"ZTF{seed}_{i}" for i in range(number)]),
        band=("ztf_g", "ztf_r"),
        wavelength=np.array([4804.79, 6436.92]),
        time=time.ravel(),
        band_index=band.ravel().astype(np.int8),
        flux=(flux + rng.normal(0, 2, flux.shape)).ravel().astype(np.float32),
        flux_error=np.full(flux.size, 2.0, np.float32),
        detected=(flux > 10).ravel(),
        row_size=np.full(number, 24),
        ra=unknown,
        dec=unknown,
        redshift=unknown.astype(np.float32),
        redshift_error=unknown.astype(np.float32),
        redshift_spec=unknown.astype(np.float32),
        mwebv=unknown.astype(np.float32),
        label=np.array([CLASSES[k] for k in truth]),
    )
    return FakeItems(curves, truth.astype(np.int64))


@pytest.fixture
def config() -> TransientsRun:
    run = raw_ztf()
    return run.model_copy(update={"train": run.train.model_copy(update={"threads": 1})})


@pytest.fixture(autouse=True)
def _few_trees(monkeypatch):
    monkeypatch.setattr(RandomForestBaseline, "TREES", 30)
    monkeypatch.setattr(LightGBMBaseline, "ROUNDS", 60)


@pytest.mark.parametrize("kind", KINDS)
def test_a_baseline_beats_guessing_and_keeps_the_schema_of_records(kind, config):
    baseline, test = kind(config), _items(120, 3)
    baseline.fit(_items(240, 1), _items(80, 2))
    records = baseline.predict(test)
    assert records["probability"].dims == ("item", "class")
    assert records["probability"].dtype == np.float32
    np.testing.assert_allclose(records["probability"].sum("class"), 1, atol=1e-5)
    assert list(records["class"].values) == list(CLASSES)
    np.testing.assert_array_equal(records["item"].values, test.ids)
    np.testing.assert_array_equal(records["truth"].values, test.targets)
    loss = metrics(config)["balanced_log_loss"].value(records, np.ones(120))
    assert loss < 0.5 * np.log(4)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_probabilities(kind, config):
    train, validation, test = _items(100, 1), _items(40, 2), _items(20, 3)
    found = []
    for _ in range(2):
        baseline = kind(config)
        baseline.fit(train, validation)
        found.append(baseline.predict(test)["probability"].values)
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("kind", KINDS)
def test_a_class_without_training_objects_is_next_to_impossible(kind, config):
    baseline = kind(config)
    baseline.fit(_items(90, 1, np.arange(90) % 3), _items(30, 2, np.arange(30) % 3))
    probability = baseline.predict(_items(40, 3))["probability"].values
    assert probability.shape == (40, 4)
    assert probability[:, 3].max() < 0.05


@pytest.mark.parametrize("kind", KINDS)
def test_objects_without_a_known_class_are_not_learnt_from_but_are_predicted(kind, config):
    train, validation = _items(100, 1), _items(40, 2)
    hidden = FakeItems(train.curves, np.where(np.arange(100) < 50, train.targets, -1))
    known = FakeItems(train.curves.select(np.arange(50)), train.targets[:50])
    fitted = []
    for part in (hidden, known):
        baseline = kind(config)
        baseline.fit(part, validation)
        fitted.append(baseline.predict(hidden))
    np.testing.assert_array_equal(fitted[0]["probability"].values, fitted[1]["probability"].values)
    assert (fitted[0]["truth"].values[50:] == -1).all()


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_set_of_items_gives_empty_records(kind, config):
    baseline = kind(config)
    baseline.fit(_items(60, 1), _items(30, 2))
    assert baseline.predict(_items(0, 3))["probability"].shape == (0, 4)


@pytest.mark.parametrize("kind", KINDS)
def test_predicting_before_fitting_says_what_to_do(kind, config):
    with pytest.raises(ValueError, match=r"not fitted: call fit\(train, validation\)"):
        kind(config).predict(_items(2, 0))


def test_fitting_without_any_known_class_says_so(config):
    with pytest.raises(ValueError, match="10 objects without"):
        RandomForestBaseline(config).fit(FakeItems(_items(10, 0).curves, np.full(10, -1)), _items(10, 1))


def test_both_baselines_are_reported(config):
    assert list(baselines(config)) == ["random_forest", "lightgbm"]
