"""Expected calibration error: how far confidence is from accuracy, in bins of confidence."""

from collections.abc import Callable

import numpy as np
import xarray as xr
from jaxtyping import Float

from armillary.core.classification.scored import Scored, Sums, scored, weighted_counts

BINS = 15


def expected_calibration_error(records: xr.Dataset, bins: int = BINS) -> Callable[[np.ndarray], float]:
    """sum_b (n_b / n) |accuracy_b - confidence_b| over equal bins of the highest probability.

    In [0, 1], lower is better. NaN without items. The value depends on `bins` and is biased upwards for few items.

    References:
        Guo et al. 2017, "On calibration of modern neural networks", eq. 3.
    """
    known = scored(records)
    return lambda weight: calibration_error_of(calibration_sums(known, weight[known.known], bins))


def calibration_sums(known: Scored, weight: Float[np.ndarray, " n"], bins: int = BINS) -> Sums:
    """Per bin of confidence (b, b + 1] / bins: sums of the weights, of the confidence and of what is right."""
    confidence = known.probability.max(1) if len(known.truth) else np.zeros(0)
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    parts = (weight, weight * confidence, weight * (known.predicted == known.truth))
    return Sums(np.stack([weighted_counts(place, part, bins) for part in parts]))


def calibration_error_of(sums: Sums) -> float:
    """The error from the sums of all bins."""
    weight, confidence, correct = sums.table
    return float(np.abs(correct - confidence).sum() / weight.sum()) if weight.sum() > 0 else float("nan")
