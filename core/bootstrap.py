"""Metrics with confidence intervals: the percentile bootstrap over groups."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import xarray as xr
from jaxtyping import Float, Int64, Shaped

from armillary.core.domain import MetricSet
from armillary.core.random import derive_rng


@dataclass(frozen=True)
class Estimate:
    """A metric's value on the records as they are, and the interval its resamples span.

    undefined: how many resamples had no value (NaN) and are left out of the interval.
    """

    value: float
    low: float
    high: float
    direction: Literal["min", "max"]
    unit: str
    undefined: int = 0


def bootstrap(
    metric_set: MetricSet,
    records: xr.Dataset,
    groups: Shaped[np.ndarray, " item"],
    resamples: int,
    confidence: float,
    seed: int,
) -> dict[str, Estimate]:
    """Every metric with its percentile interval; whole groups are drawn with replacement.

    A resample is a weight an item: how often its group was drawn. All metrics see the same resamples, which depend
    on the seed and the number of groups alone. Without resamples, or where none is defined, the ends are NaN.

    References:
        Efron 1979, "Bootstrap methods: another look at the jackknife"; Davison and Hinkley 1997, section 3.8
        (resampling whole clusters).
    """
    names, member = np.unique(groups, return_inverse=True)
    if len(groups) != records.sizes["item"]:
        raise ValueError(f"bootstrap got {len(groups)} groups for {records.sizes['item']} items; give one an item")
    if resamples < 0 or not 0 < confidence < 1:
        raise ValueError(f"bootstrap needs resamples >= 0 and 0 < confidence < 1, got {resamples} and {confidence}")
    judges = [metric.of(records) for metric in metric_set.metrics]
    once = np.ones(len(groups))
    values = [judge(once) for judge in judges]
    drawn = np.full((resamples, len(judges)), np.nan)
    rng = derive_rng(seed, "bootstrap")
    for number in range(resamples):
        weight = _draw(rng, len(names))[member].astype(np.float64)
        drawn[number] = [judge(weight) for judge in judges]
    return {
        metric.name: _estimate(value, drawn[:, place], confidence, metric.direction, metric.unit)
        for place, (metric, value) in enumerate(zip(metric_set.metrics, values, strict=True))
    }


def _draw(rng: np.random.Generator, num_groups: int) -> Int64[np.ndarray, " group"]:
    """How often each group is drawn in as many draws as there are groups."""
    if num_groups == 0:
        return np.zeros(0, np.int64)
    return np.bincount(rng.integers(0, num_groups, num_groups), minlength=num_groups).astype(np.int64)


def _estimate(
    value: float, drawn: Float[np.ndarray, " resample"], confidence: float, direction: Literal["min", "max"], unit: str
) -> Estimate:
    defined = drawn[~np.isnan(drawn)]
    tail = (1 - confidence) / 2
    low, high = np.quantile(defined, [tail, 1 - tail]) if len(defined) else (np.nan, np.nan)
    return Estimate(float(value), float(low), float(high), direction, unit, len(drawn) - len(defined))
