"""Accuracy at each SNR label, their mean and their peak. All in [0, 1], higher is better."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float, Float64, Int64

from armillary.core.classification.scored import Scored, scored, weighted_counts

Prepared = Callable[[np.ndarray], float]


@dataclass(frozen=True)
class BySNR:
    """Items of known class by SNR label; `labels` in rising order, NaN (unknown SNR) as one label at the end."""

    known: Scored
    labels: Float64[np.ndarray, " s"]
    place: Int64[np.ndarray, " n"]

    def accuracy(self, weight: Float[np.ndarray, " item"]) -> Float64[np.ndarray, " s"]:
        """Accuracy at each label; NaN where no item counts."""
        chosen = weight[self.known.known]
        hits = chosen * (self.known.predicted == self.known.truth)
        total = weighted_counts(self.place, chosen, len(self.labels))
        right = weighted_counts(self.place, hits, len(self.labels))
        return np.divide(right, total, out=np.full(len(self.labels), np.nan), where=total > 0)


def by_snr(records: xr.Dataset) -> BySNR:
    """The items of known class by their SNR label; records without `snr_db` have one label, unknown."""
    known = scored(records)
    count = len(known.known)
    snr = records["snr_db"].values.astype(np.float64) if "snr_db" in records else np.full(count, np.nan)
    labels, place = np.unique(snr[known.known], return_inverse=True)
    return BySNR(known, labels, place.reshape(-1).astype(np.int64))


def mean_accuracy(records: xr.Dataset) -> Prepared:
    """The mean over SNR labels of the accuracy at each: the field's number. NaN without items.

    With as many frames at each label it is the plain accuracy.

    References:
        O'Shea and West 2016, "Radio machine learning dataset generation with GNU Radio".
    """
    table = by_snr(records)
    return lambda weight: _reduce(table.accuracy(weight), np.mean)


def peak_accuracy(records: xr.Dataset) -> Prepared:
    """The highest accuracy at one SNR label. Biased upwards where labels have few frames. NaN without items."""
    table = by_snr(records)
    return lambda weight: _reduce(table.accuracy(weight), np.max)


def accuracy_at(records: xr.Dataset, snr_db: float) -> Prepared:
    """The accuracy at one SNR label [dB]. NaN where no frame has it."""
    table = by_snr(records)
    found = np.flatnonzero(table.labels == snr_db)
    if not len(found):
        return lambda weight: float("nan")
    return lambda weight: float(table.accuracy(weight)[found[0]])


def _reduce(values: Float64[np.ndarray, " s"], how: Callable[[np.ndarray], np.floating]) -> float:
    seen = values[~np.isnan(values)]
    return float(how(seen)) if len(seen) else float("nan")
