"""Bootstrap intervals: seeds, groups, coverage, undefined resamples."""

import math
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

from armillary.core.bootstrap import bootstrap
from armillary.core.domain import Metric, MetricSet


def _mean(records: xr.Dataset, weight: np.ndarray) -> float:
    return float(np.average(records["value"].values, weights=weight)) if weight.sum() else math.nan


def _mean_of_marked(records: xr.Dataset, weight: np.ndarray) -> float:
    return _mean(records, weight * records["marked"].values)


MEAN = MetricSet((Metric("mean", _mean, "max", "d"),), "mean")


def _records(values: np.ndarray, marked: np.ndarray | None = None) -> xr.Dataset:
    marks = np.ones(len(values)) if marked is None else marked
    return xr.Dataset({"value": ("item", values), "marked": ("item", marks)})


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    records, groups = _records(np.random.default_rng(0).normal(size=50)), np.arange(50)
    first, again, other = (bootstrap(MEAN, records, groups, 100, 0.9, seed)["mean"] for seed in (1, 1, 2))
    assert first == again
    assert first.low != other.low
    assert first.value == other.value == pytest.approx(float(records["value"].mean()))


def test_an_estimate_carries_direction_and_unit():
    estimate = bootstrap(MEAN, _records(np.arange(4.0)), np.arange(4), 10, 0.95, 0)["mean"]
    assert (estimate.direction, estimate.unit, estimate.undefined) == ("max", "d", 0)
    assert estimate.low <= estimate.value <= estimate.high


def test_a_single_group_has_an_interval_without_width():
    estimate = bootstrap(MEAN, _records(np.arange(5.0)), np.array(["a"] * 5), 20, 0.95, 0)["mean"]
    assert estimate.low == estimate.high == estimate.value == 2.0


def test_items_that_repeat_within_a_group_do_not_narrow_the_interval():
    values = np.random.default_rng(0).normal(size=40)
    once = bootstrap(MEAN, _records(values), np.arange(40), 400, 0.9, 0)["mean"]
    repeated = bootstrap(MEAN, _records(np.repeat(values, 10)), np.repeat(np.arange(40), 10), 400, 0.9, 0)["mean"]
    assert repeated.low == pytest.approx(once.low)
    assert repeated.high == pytest.approx(once.high)


def test_ninety_percent_intervals_of_a_mean_cover_it_about_nine_times_in_ten():
    rng = np.random.default_rng(5)
    hits = 0
    for seed in range(150):
        estimate = bootstrap(MEAN, _records(rng.normal(1.0, 2.0, 60)), np.arange(60), 120, 0.9, seed)["mean"]
        hits += estimate.low <= 1.0 <= estimate.high
    # Three standard deviations of a binomial of 150 draws, and the bootstrap's own shortfall at n = 60.
    assert 0.81 <= hits / 150 <= 0.97


def test_resamples_without_a_value_are_counted_and_left_out():
    marked = np.zeros(6)
    marked[0] = 1
    metric = MetricSet((Metric("marked", _mean_of_marked, "max"),), "marked")
    estimate = bootstrap(metric, _records(np.arange(6.0) + 3, marked), np.arange(6), 500, 0.95, 0)["marked"]
    assert estimate.value == estimate.low == estimate.high == 3.0
    # The marked item is missing from a resample with probability (5/6)^6 = 0.33.
    assert 0.25 < estimate.undefined / 500 < 0.42


def test_a_metric_that_is_never_defined_has_no_interval():
    metric = MetricSet((Metric("marked", _mean_of_marked, "max"),), "marked")
    estimate = bootstrap(metric, _records(np.arange(3.0), np.zeros(3)), np.arange(3), 7, 0.95, 0)["marked"]
    assert math.isnan(estimate.value)
    assert math.isnan(estimate.low)
    assert math.isnan(estimate.high)
    assert estimate.undefined == 7


def test_no_items_and_no_resamples_give_nan_and_not_an_exception():
    empty = bootstrap(MEAN, _records(np.zeros(0)), np.zeros(0, np.str_), 3, 0.95, 0)["mean"]
    assert math.isnan(empty.value)
    without = bootstrap(MEAN, _records(np.arange(3.0)), np.arange(3), 0, 0.95, 0)["mean"]
    assert without.value == 1.0
    assert math.isnan(without.low)


def test_a_prepared_metric_is_prepared_once_for_all_resamples():
    calls: list[int] = []

    def prepare(records: xr.Dataset):
        calls.append(1)
        return lambda weight: _mean(records, weight)

    metric = Metric("mean", _mean, "max", prepare=prepare)
    records, groups = _records(np.arange(9.0)), np.arange(9)
    prepared = bootstrap(MetricSet((metric,), "mean"), records, groups, 50, 0.9, 0)["mean"]
    assert len(calls) == 1
    assert prepared.low == bootstrap(MEAN, records, groups, 50, 0.9, 0)["mean"].low


@pytest.mark.parametrize(
    ("groups", "resamples", "confidence", "message"),
    [(2, 10, 0.9, "2 groups for 3 items"), (3, -1, 0.9, "got -1 and 0.9"), (3, 10, 1.0, "got 10 and 1.0")],
)
def test_what_cannot_be_resampled_is_refused(groups, resamples, confidence, message):
    with pytest.raises(ValueError, match=message):
        bootstrap(MEAN, _records(np.arange(3.0)), np.arange(groups), resamples, confidence, 0)


def test_importing_the_bootstrap_does_not_import_torch():
    code = "import sys, armillary.core.bootstrap; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
