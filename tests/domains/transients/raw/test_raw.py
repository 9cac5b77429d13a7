"""The raw systems: causal features, one pass for the whole track, calibrated probabilities."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from armillary.core.config.mixers import AttentionSettings, Mamba2Settings, MambaSettings, PoolingSettings
from armillary.core.config.trunk import TrunkSettings
from armillary.core.domain import Batch
from armillary.core.errors import ConfigError
from armillary.domains.transients.cosmology import log_luminosity_distance
from armillary.domains.transients.raw.features import Observations, band_history, num_features, observation_features
from armillary.domains.transients.raw.frame import RestFrame
from armillary.domains.transients.raw.model import RawClassifier
from armillary.domains.transients.raw.settings import RawSettings
from armillary.domains.transients.settings import TransientsData, TransientsPredict

BANDS = ("des_g", "des_r", "des_i", "des_z")
DATA = TransientsData(card="x", classes={"a": ("a",), "b": ("b",)}, bands=BANDS, redshift="photometric")
MIXERS = [AttentionSettings(causal=True), MambaSettings(), Mamba2Settings(head_width=16), PoolingSettings(causal=True)]


def batch_of(lengths: list[int], seed: int = 0) -> Batch:
    """Random light curves, padded, with times from before the trigger to long after."""
    rng = np.random.default_rng(seed)
    length = max(lengths)
    mask = np.arange(length) < np.array(lengths)[:, None]
    time = np.sort(rng.uniform(-20, 200, (len(lengths), length)), 1)
    return {
        "time": torch.tensor(time, dtype=torch.float32),
        "flux": torch.tensor(rng.normal(30, 40, mask.shape), dtype=torch.float32),
        "flux_error": torch.tensor(rng.uniform(1, 9, mask.shape), dtype=torch.float32),
        "band": torch.tensor(rng.integers(0, len(BANDS), mask.shape)),
        "mask": torch.tensor(mask),
        "redshift": torch.tensor(rng.uniform(0.05, 1.2, len(lengths)), dtype=torch.float32),
        "redshift_error": torch.full((len(lengths),), 0.05),
        "target": torch.tensor(rng.integers(0, 2, len(lengths))),
        "index": torch.arange(len(lengths)),
    }


def classifier(mixer=MIXERS[0], data: TransientsData = DATA) -> RawClassifier:
    """A small network in evaluation mode."""
    torch.manual_seed(0)
    trunk = TrunkSettings(width=32, depth=2, pattern=(mixer,))
    return RawClassifier(data, RawSettings(trunk=trunk, hidden=32)).eval()


def observations(batch: Batch) -> Observations:
    """The batch as the features see it."""
    return Observations(batch["time"], batch["flux"], batch["flux_error"], batch["band"], batch["mask"])


def cut(batch: Batch, length: int) -> Batch:
    """The first observations only."""
    return {k: v[:, :length] if v.ndim == 2 else v for k, v in batch.items()}


@given(st.integers(1, 29), st.integers(0, 50))
@settings(max_examples=25, deadline=None)
def test_features_do_not_look_ahead(length: int, seed: int):
    batch = batch_of([30, 30, 30], seed)
    whole = observation_features(observations(batch), len(BANDS))
    part = observation_features(observations(cut(batch, length)), len(BANDS))
    torch.testing.assert_close(whole[:, :length], part, rtol=0, atol=0)


def test_features_have_their_stated_width_and_are_finite():
    batch = batch_of([1, 7, 30])
    found = observation_features(observations(batch), len(BANDS))
    assert found.shape == (3, 30, num_features(len(BANDS)))
    assert torch.isfinite(found[batch["mask"]]).all()


def test_history_of_a_band_by_hand():
    seen = Observations(
        time=torch.tensor([[0.0, 1.0, 4.0, 9.0]]),
        flux=torch.tensor([[10.0, 50.0, 30.0, 20.0]]),
        error=torch.tensor([[1.0, 2.0, 3.0, 4.0]]),
        band=torch.tensor([[0, 1, 0, 1]]),
        mask=torch.ones(1, 4, dtype=torch.bool),
    )
    history = band_history(seen, 2)
    assert history.flux[0].tolist() == [[10, 0], [10, 50], [30, 50], [30, 20]]
    assert history.age[0].tolist() == [[0, 200], [1, 0], [0, 3], [5, 0]]
    assert history.peak[0].tolist() == [[9, 0.5], [9, 48], [27, 48], [27, 48]]
    assert history.peak_age[0].tolist() == [[0, 200], [1, 0], [0, 3], [5, 8]]


def test_distance_of_the_rest_frame_is_astropys():
    frame = RestFrame(np.array([5000.0]), True, 0.5)
    z = np.array([0.01, 0.1, 0.5, 1.3])
    expected = log_luminosity_distance(z) - log_luminosity_distance(np.array([0.5]))
    np.testing.assert_allclose(frame.relative_distance(torch.tensor(z)).numpy(), expected, atol=2e-4)


def test_the_same_source_near_and_far_looks_alike():
    batch = batch_of([12])
    frame = RestFrame(np.array([5000.0, 6000.0, 7000.0, 8000.0]), True, 0.5)
    near, far = torch.tensor([0.1]), torch.tensor([0.6])
    ratio = float(np.exp(2 * (log_luminosity_distance(np.array([0.1])) - log_luminosity_distance(np.array([0.6])))[0]))
    moved = {**batch, "time": batch["time"] * 1.6 / 1.1, "flux": batch["flux"] * ratio}
    one, other = frame(observations(batch), near), frame(observations(moved), far)
    torch.testing.assert_close(one.time, other.time)
    torch.testing.assert_close(one.flux, other.flux, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("mixer", MIXERS, ids=lambda m: m.kind)
def test_the_track_of_one_pass_equals_the_answers_to_shortened_curves(mixer):
    model, batch = classifier(mixer), batch_of([20, 20])
    with torch.no_grad():
        track = next(model.predict(batch, TransientsPredict(track=True)))["track_probability"]
        for length in (1, 5, 13, 20):
            part = next(model.predict(cut(batch, length), TransientsPredict()))["probability"]
            torch.testing.assert_close(track[:, length - 1], part, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mixer", MIXERS, ids=lambda m: m.kind)
def test_padding_changes_no_probability(mixer):
    model, batch = classifier(mixer), batch_of([9, 30])
    alone = {k: v[:1, :9] if v.ndim == 2 else v[:1] for k, v in batch.items()}
    with torch.no_grad():
        together = next(model.predict(batch, TransientsPredict()))
        one = next(model.predict(alone, TransientsPredict()))
    for name, value in one.items():
        torch.testing.assert_close(together[name][:1], value, rtol=1e-4, atol=1e-5)


def test_early_probabilities_are_those_of_the_last_observation_by_that_day():
    model, batch = classifier(), batch_of([25, 25])
    options = TransientsPredict(track=True, days=(0.0, 30.0, 1000.0))
    with torch.no_grad():
        out = next(model.predict(batch, options))
    for row in range(2):
        for day, limit in enumerate(options.days):
            last = max(int((batch["time"][row] <= limit).sum()) - 1, 0)
            torch.testing.assert_close(out["early_probability"][row, day], out["track_probability"][row, last])
    torch.testing.assert_close(out["early_probability"][:, 2], out["probability"])


def test_without_redshift_the_answer_does_not_depend_on_it():
    model, batch = classifier(data=DATA.model_copy(update={"redshift": "none"})), batch_of([10, 10])
    other = {**batch, "redshift": batch["redshift"] + 1, "redshift_error": batch["redshift_error"] * 9}
    with torch.no_grad():
        torch.testing.assert_close(model(batch), model(other), rtol=0, atol=0)


def test_an_unknown_redshift_gives_finite_scores():
    model, batch = classifier(), batch_of([10, 10])
    batch["redshift"] = torch.tensor([float("nan"), 0.0])
    batch["redshift_error"] = torch.tensor([float("nan"), float("nan")])
    assert torch.isfinite(model(batch)).all()


def test_a_trunk_that_looks_ahead_is_refused():
    with pytest.raises(ConfigError, match="not causal"):
        classifier(AttentionSettings(causal=False))


def test_the_loss_weighs_classes_alike():
    model, batch = classifier(), batch_of([15] * 8)
    batch["target"] = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1])
    model.class_weight.copy_(torch.tensor([8 / 2 / 6, 8 / 2 / 2]))
    scores = model(batch)[:, -1]
    by_class = [
        torch.nn.functional.cross_entropy(scores[batch["target"] == k], batch["target"][batch["target"] == k])
        for k in (0, 1)
    ]
    torch.testing.assert_close(model.loss(batch, torch.Generator())["last"], sum(by_class) / 2)


def test_calibration_lowers_the_balanced_loss_and_keeps_probabilities():
    model, batch = classifier(), batch_of([15] * 40)
    model.head.classify.weight.data.mul_(30)

    def batches() -> Iterator[Batch]:
        yield batch

    def loss() -> float:
        p = next(model.predict(batch, TransientsPredict()))["probability"]
        each = -p[torch.arange(40), batch["target"]].log()
        return float(sum(each[batch["target"] == k].mean() for k in (0, 1)) / 2)

    with torch.no_grad():
        before = loss()
        model.calibrate(batches)
        after = loss()
        total = next(model.predict(batch, TransientsPredict()))["probability"].sum(-1)
    assert after < before - 0.1
    torch.testing.assert_close(total, torch.ones(40))
