"""Metric values worked by hand, and by independent implementations."""

import math

import numpy as np
import pytest
import sklearn.metrics as sk
import torch
import torchmetrics.functional.classification as tm
import xarray as xr

from armillary.core.classification.calibration import calibration_error_of, calibration_sums
from armillary.core.classification.confusion import accuracy_of, confusion, macro_f1_of
from armillary.core.classification.log_loss import (
    balanced_log_loss,
    class_mean,
    log_loss_sums,
    true_class_loss,
)
from armillary.core.classification.scored import scored
from armillary.domains.transients.classes import PLASTICC, SPCC, ZTF_BTS
from armillary.domains.transients.metrics import metrics
from armillary.domains.transients.metrics.early import at_day
from armillary.domains.transients.metrics.metric_set import ia_classes
from armillary.domains.transients.metrics.plasticc import challenge_weights, plasticc_log_loss


@pytest.fixture
def weighted(records):
    """Known items of the records as plain arrays, with weights, and the same weights for all items."""
    weight = np.random.default_rng(9).integers(1, 4, 150).astype(np.float64)
    known = scored(records)
    return known.truth, known.probability, weight[known.known], weight


def _value(config, name: str, records: xr.Dataset, weight: np.ndarray) -> float:
    return metrics(config)[name].value(records, weight)


def test_balanced_log_loss_of_three_items_by_hand(make):
    records = make(np.array([[0.5, 0.5, 0.0], [0.25, 0.75, 0.0], [0.25, 0.5, 0.25]]), np.array([0, 0, 2]))
    # Class means: (ln 2 + ln 4) / 2 and ln 4.
    assert balanced_log_loss(records)(np.ones(3)) == pytest.approx((1.5 * math.log(2) + math.log(4)) / 2)


def test_plasticc_log_loss_renormalises_rows_and_weighs_classes_by_hand(make):
    records = make(np.array([[0.5, 0.5, 0.0], [0.25, 0.125, 0.125]]), np.array([0, 1]))
    weights = {"Ia": 2.0, "II": 1.0, "Ibc": 5.0}
    assert plasticc_log_loss(records, weights)(np.ones(2)) == pytest.approx((2 * math.log(2) + math.log(4)) / 3)


def test_challenge_weights_double_tidal_disruptions_and_kilonovae():
    weights = challenge_weights(PLASTICC)
    assert weights["TDE"] == weights["kilonova"] == 1 / 9
    assert weights["SN Ia"] == weights["AGN"] == 1 / 18
    assert challenge_weights({"novel": ("99",)}) == {"novel": 1 / 19}


def test_purity_efficiency_and_f1_by_hand(config, make):
    # Truth Ia Ia Ia II Ibc; called Ia Ia II Ia Ibc.
    called, truth = np.array([0, 0, 1, 0, 2]), np.array([0, 0, 0, 1, 2])
    records, once = make(np.eye(3)[called], truth), np.ones(5)
    assert _value(config, "ia_purity", records, once) == pytest.approx(2 / 3)
    assert _value(config, "ia_efficiency", records, once) == pytest.approx(2 / 3)
    assert _value(config, "macro_f1", records, once) == pytest.approx((2 / 3 + 0 + 1) / 3)
    assert _value(config, "accuracy", records, once) == pytest.approx(3 / 5)


def test_purity_without_any_call_is_nan_and_efficiency_zero(config, make):
    records = make(np.eye(3)[[1, 1]], np.array([0, 1]))
    assert math.isnan(_value(config, "ia_purity", records, np.ones(2)))
    assert _value(config, "ia_efficiency", records, np.ones(2)) == 0.0


def test_the_ia_class_is_found_in_every_grouping():
    assert ia_classes(SPCC) == ("Ia",)
    assert ia_classes(PLASTICC) == ("SN Ia",)
    assert ia_classes(ZTF_BTS) == ("Ia-like",)
    assert ia_classes({"90": ("90",), "SNIax": ("52",)}) == ("90",)
    assert ia_classes({"periodic": ("16",)}) == ()


def test_calibration_error_by_hand(config, make):
    # One bin with confidence 0.8 twice, once right: |0.5 - 0.8|; the other with 0.5 once, right: |1 - 0.5|.
    probability = np.array([[0.8, 0.1, 0.1], [0.8, 0.1, 0.1], [0.5, 0.3, 0.2]])
    value = _value(config, "calibration_error", make(probability, np.array([0, 1, 0])), np.ones(3))
    assert value == pytest.approx((2 * 0.3 + 0.5) / 3, rel=1e-6)


def test_log_losses_and_confusion_metrics_agree_with_scikit_learn(config, records, weighted):
    truth, probability, weight, every = weighted
    balance = weight / np.bincount(truth, weight)[truth]
    expected = sk.log_loss(truth, probability / probability.sum(1, keepdims=True), sample_weight=balance)
    assert _value(config, "plasticc_log_loss", records, every) == pytest.approx(expected)
    called = probability.argmax(1)
    expected = sk.f1_score(truth, called, average="macro", sample_weight=weight)
    assert _value(config, "macro_f1", records, every) == pytest.approx(expected)
    expected = sk.accuracy_score(truth, called, sample_weight=weight)
    assert _value(config, "accuracy", records, every) == pytest.approx(expected)


@pytest.mark.parametrize("average", ["macro", "micro"])
def test_areas_agree_with_scikit_learn_under_weights_and_ties(average, config, records, weighted):
    truth, probability, weight, every = weighted
    binary = np.eye(3)[truth]
    roc = sk.roc_auc_score(binary, probability, average=average, sample_weight=weight)
    assert _value(config, f"roc_auc_{average}", records, every) == pytest.approx(roc)
    precision = sk.average_precision_score(binary, probability, average=average, sample_weight=weight)
    assert _value(config, f"pr_auc_{average}", records, every) == pytest.approx(precision)


def test_areas_and_calibration_agree_with_torchmetrics(config, records, weighted):
    truth, probability, _, every = weighted
    scores, target, once = torch.tensor(probability), torch.tensor(truth), np.ones_like(every)
    # torchmetrics counts in single precision.
    expected = float(tm.multiclass_auroc(scores, target, 3))
    assert _value(config, "roc_auc_macro", records, once) == pytest.approx(expected, abs=1e-6)
    expected = float(tm.multiclass_average_precision(scores, target, 3))
    assert _value(config, "pr_auc_macro", records, once) == pytest.approx(expected, abs=1e-6)
    expected = float(tm.multiclass_calibration_error(scores, target, 3, n_bins=15, norm="l1"))
    assert _value(config, "calibration_error", records, once) == pytest.approx(expected, abs=1e-6)


def test_open_set_score_agrees_with_scikit_learn_and_falls_back_on_the_highest_probability(config, records):
    unknown = records["truth"].values < 0
    expected = sk.roc_auc_score(unknown, 1 - records["probability"].values.max(1))
    without = records.drop_vars("open_set_score")
    assert _value(config, "open_set_auc", without, np.ones(150)) == pytest.approx(expected)
    known_only = records.isel(item=~unknown)
    assert math.isnan(_value(config, "open_set_auc", known_only, np.ones(130)))


def _with_tracks(make) -> xr.Dataset:
    """Two items: one observed on days -3, 0 and 6, the other on days 8 and 9."""
    tracks = np.array([[0.4, 0.6, 0], [0.5, 0.5, 0], [0.9, 0.1, 0], [0.3, 0.7, 0], [0.2, 0.8, 0]], np.float32)
    records = make(tracks[[2, 4]], np.array([0, 1])).drop_vars(("early_probability", "day"))
    return records.assign(
        track_probability=(("observation", "class"), tracks),
        track_time=("observation", np.array([-3, 0, 6, 8, 9], np.float32)),
        track_row_size=("item", np.array([3, 2])),
    )


@pytest.mark.parametrize(("day", "expected"), [(0, [0.5]), (5, [0.5]), (6, [0.9]), (8, [0.9, 0.7]), (50, [0.9, 0.8])])
def test_a_track_is_judged_by_its_last_observation_at_or_before_the_day(day, expected, make):
    records = at_day(_with_tracks(make), float(day))
    known = scored(records)
    assert known.probability[np.arange(len(known.truth)), known.truth] == pytest.approx(expected)


def test_early_losses_read_tracks_and_early_probabilities_alike(config, make):
    tracks = _with_tracks(make)
    loss = _value(config, "balanced_log_loss_50d", tracks, np.ones(2))
    assert loss == pytest.approx(-(math.log(0.9) + math.log(0.8)) / 2, rel=1e-6)
    early = make(tracks["probability"].values, tracks["truth"].values)
    assert _value(config, "balanced_log_loss_50d", early, np.ones(2)) == pytest.approx(loss)
    neither = early.drop_vars(("early_probability", "day"))
    assert math.isnan(_value(config, "balanced_log_loss_50d", neither, np.ones(2)))


def test_sums_of_two_parts_merge_to_those_of_the_whole(records):
    halves = [scored(records.isel(item=part)) for part in (slice(0, 80), slice(80, None))]
    whole = scored(records)
    for sums, value in (
        (lambda s: confusion(s, np.ones(len(s.truth))), accuracy_of),
        (lambda s: confusion(s, np.ones(len(s.truth))), macro_f1_of),
        (lambda s: calibration_sums(s, np.ones(len(s.truth))), calibration_error_of),
        (lambda s: log_loss_sums(true_class_loss(s.probability, s.truth), s, np.ones(len(s.truth))), class_mean),
    ):
        merged = sums(halves[0]).merge(sums(halves[1]))
        assert value(merged) == pytest.approx(value(sums(whole)), rel=1e-12)
