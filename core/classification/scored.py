"""What the metrics read of prediction records, and the sums that merge."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Float64, Int64

from armillary.core.domain import Metric

Prepare = Callable[[xr.Dataset], Callable[[np.ndarray], float]]


@dataclass(frozen=True)
class Scored:
    """The n items whose class is known; `known` picks them out of all items of the records."""

    probability: Float64[np.ndarray, "n k"]
    truth: Int64[np.ndarray, " n"]
    known: Bool[np.ndarray, " item"]
    classes: tuple[str, ...]

    @property
    def predicted(self) -> Int64[np.ndarray, " n"]:
        """The most probable class; the first of equals."""
        return self.probability.argmax(1)


@dataclass(frozen=True)
class Sums:
    """Sums over items from which a metric follows exactly; the sums of two sets of items add up to those of both."""

    table: Float64[np.ndarray, "rows columns"]

    def merge(self, other: "Sums") -> "Sums":
        """The sums over the items of both."""
        return Sums(self.table + other.table)


def weighted_counts(
    places: Int64[np.ndarray, " n"], weight: Float[np.ndarray, " n"], size: int
) -> Float64[np.ndarray, " size"]:
    """Sum of the weights at each place below `size`."""
    # bincount of nothing is of integers.
    return np.bincount(places, weight, size).astype(np.float64)


def scored(records: xr.Dataset) -> Scored:
    """The items with a known class (truth >= 0). A probability that is not finite is an error that names its item."""
    truth = records["truth"].values.astype(np.int64)
    known = truth >= 0
    probability = records["probability"].transpose("item", "class").values[known].astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(probability).all(1))
    if len(bad):
        names = records["item"].values[known]
        raise ValueError(
            f"the probabilities of item '{names[bad[0]]}' are not finite ({len(bad)} such items of {len(names)}); "
            "metrics need one finite probability a class. Look at the model that made them."
        )
    return Scored(probability, truth[known], known, tuple(str(name) for name in records["class"].values))


def define(name: str, prepare: Prepare, direction: Literal["min", "max"], summary: str, unit: str = "1") -> Metric:
    """A metric from its prepared form, records -> (weight -> value)."""
    return Metric(name, partial(_value, prepare), direction, unit, summary, prepare)


def _value(prepare: Prepare, records: xr.Dataset, weight: np.ndarray) -> float:
    return prepare(records)(weight)
