"""Log losses [nat], lower is better: plain, and with all classes alike.

Range: 0 (certain and right) to 34.5 (certain and wrong: probabilities are clipped to [1e-15, 1 - 1e-15]).
NaN rule: a class without items has no mean and is left out of the average; without any item the loss is NaN.
"""

from collections.abc import Callable

import numpy as np
import xarray as xr
from jaxtyping import Float, Float64

from armillary.core.classification.scored import Scored, Sums, scored, weighted_counts

CLIP = 1e-15


def log_loss(records: xr.Dataset) -> Callable[[np.ndarray], float]:
    """-mean_i ln p_ic: the mean over items, so that a class counts as often as it occurs."""
    known = scored(records)
    loss = true_class_loss(known.probability, known.truth)

    def value(weight: np.ndarray) -> float:
        total, count = log_loss_sums(loss, known, weight[known.known]).table.sum(1)
        return float(total / count) if count > 0 else float("nan")

    return value


def balanced_log_loss(records: xr.Dataset) -> Callable[[np.ndarray], float]:
    """-(1/C) sum_c (1/n_c) sum_{i in c} ln p_ic: the mean over classes of each class's mean log loss.

    n_c counts the whole set.

    References:
        Allam and McEwen 2021 (t2), arXiv 2105.06178.
    """
    known = scored(records)
    loss = true_class_loss(known.probability, known.truth)
    return lambda weight: class_mean(log_loss_sums(loss, known, weight[known.known]))


def true_class_loss(probability: Float64[np.ndarray, "n k"], truth: np.ndarray) -> Float64[np.ndarray, " n"]:
    """-ln of each item's probability of its true class, clipped."""
    return -np.log(np.clip(probability[np.arange(len(truth)), truth], CLIP, 1 - CLIP))


def log_loss_sums(loss: Float64[np.ndarray, " n"], known: Scored, weight: Float[np.ndarray, " n"]) -> Sums:
    """Per class: the weighted sum of the loss, and of the weights."""
    size = len(known.classes)
    return Sums(
        np.stack([weighted_counts(known.truth, weight * loss, size), weighted_counts(known.truth, weight, size)])
    )


def class_mean(sums: Sums, shares: Float64[np.ndarray, " k"] | None = None) -> float:
    """The average, with the given shares or equal ones, of the classes' mean losses; absent classes are left out."""
    total, count = sums.table
    present = count > 0
    if not present.any():
        return float("nan")
    means = total[present] / count[present]
    return float(np.average(means, weights=None if shares is None else shares[present]))
