"""What must hold of every metric: perfect, worst, permuted, scaled, weighted, merged."""

import math
import pickle

import numpy as np
import pytest
import xarray as xr

from armillary.core.bootstrap import bootstrap
from armillary.domains.transients.metrics import metrics
from armillary.domains.transients.recipes import raw_spcc

NAMES = tuple(metric.name for metric in metrics(raw_spcc()).metrics)
LARGEST_LOSS = -math.log(1e-15)


def _ones(records: xr.Dataset) -> np.ndarray:
    return np.ones(records.sizes["item"])


def test_the_primary_metric_is_the_balanced_log_loss(config):
    chosen = metrics(config)
    assert chosen.primary == "balanced_log_loss"
    assert chosen[chosen.primary].direction == "min"
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_perfect_prediction_has_the_best_value(name, config, make):
    truth = np.array([0, 1, 2, 0, 1, -1])
    probability = np.vstack([np.eye(3)[truth[:5]], np.full((1, 3), 1 / 3)])
    metric = metrics(config)[name]
    best = 0.0 if metric.direction == "min" else 1.0
    assert metric.value(make(probability, truth), np.ones(6)) == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_a_confident_wrong_prediction_has_the_worst_value(name, config, make):
    truth = np.array([0, 1, 2, 0, 1, 2, -1, -1])
    probability = np.eye(3)[(truth + 1) % 3]
    records = make(probability, truth)
    # Left-out objects look more certain than known ones.
    records["open_set_score"] = ("item", np.array([1.0] * 6 + [0.0] * 2, np.float32))
    metric = metrics(config)[name]
    value = metric.value(records, np.ones(8))
    if name.startswith("pr_auc"):
        # Every true class ranks last: precision at full recall is the share of positives.
        assert value == pytest.approx(1 / 3)
    elif name.startswith("roc_auc_macro"):
        assert value < 0.3
    elif name.startswith("roc_auc_micro"):
        assert value == pytest.approx(0.25)
    elif "log_loss" in name:
        assert value == pytest.approx(LARGEST_LOSS)
    else:
        assert value == (1.0 if metric.direction == "min" else 0.0)


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_items_does_not_matter(name, config, records):
    order = np.random.default_rng(0).permutation(150)
    metric = metrics(config)[name]
    weight = np.random.default_rng(1).integers(0, 4, 150).astype(np.float64)
    assert metric.value(records.isel(item=order), weight[order]) == pytest.approx(metric.value(records, weight))


@pytest.mark.parametrize("name", NAMES)
def test_scaling_all_weights_changes_nothing(name, config, records):
    metric = metrics(config)[name]
    assert metric.value(records, 7 * _ones(records)) == pytest.approx(metric.value(records, _ones(records)))


@pytest.mark.parametrize("name", NAMES)
def test_a_weight_counts_an_item_as_often_as_it_says(name, config, records):
    metric = metrics(config)[name]
    weight = np.random.default_rng(2).integers(0, 4, 150)
    repeated = records.isel(item=np.repeat(np.arange(150), weight))
    assert metric.value(records, weight.astype(np.float64)) == pytest.approx(metric.value(repeated, _ones(repeated)))


@pytest.mark.parametrize("name", NAMES)
def test_records_in_two_parts_concatenate_to_the_whole(name, config, records):
    metric = metrics(config)[name]
    parts = [records.isel(item=slice(0, 61)), records.isel(item=slice(61, None))]
    merged = xr.concat(parts, "item", data_vars="all")
    assert metric.value(merged, _ones(merged)) == metric.value(records, _ones(records))


@pytest.mark.parametrize("name", NAMES)
def test_no_items_give_nan(name, config, records):
    assert math.isnan(metrics(config)[name].value(records.isel(item=slice(0, 0)), np.zeros(0)))


@pytest.mark.parametrize("name", NAMES)
def test_the_prepared_form_equals_the_plain_one(name, config, records):
    metric = pickle.loads(pickle.dumps(metrics(config)[name]))
    prepared = metric.of(records)
    for seed in range(3):
        weight = np.random.default_rng(seed).integers(0, 3, 150).astype(np.float64)
        assert prepared(weight) == metric.value(records, weight)


def test_a_class_that_is_absent_is_left_out_and_not_counted_as_zero(config, make):
    probability = np.array([[0.7, 0.2, 0.1], [0.2, 0.6, 0.2], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1]])
    records, once = make(probability, np.array([0, 1, 0, 1])), np.ones(4)
    chosen = metrics(config)
    assert chosen["roc_auc_macro"].value(records, once) == 1.0
    assert chosen["macro_f1"].value(records, once) == 1.0
    expected = -(math.log(0.7 * 0.6) + math.log(0.6 * 0.8)) / 4
    assert chosen["balanced_log_loss"].value(records, once) == pytest.approx(expected, rel=1e-6)


def test_a_probability_that_is_not_finite_is_an_error_that_names_the_item(config, records):
    records["probability"][42, 1] = np.nan
    with pytest.raises(ValueError, match="item 'SN42' are not finite"):
        metrics(config)["accuracy"].value(records, _ones(records))


def test_all_metrics_have_intervals_around_their_values(config, records):
    estimates = bootstrap(metrics(config), records, records["group"].values, 50, 0.95, 0)
    assert set(estimates) == set(NAMES)
    for estimate in estimates.values():
        assert estimate.low <= estimate.high
        assert estimate.undefined == 0
