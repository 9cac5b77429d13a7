"""From which probability a label counts as found, chosen on validation. Free of torch."""

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Float32

HALF = 0.5


def youden_thresholds(
    probability: Float[np.ndarray, "n k"], target: Float[np.ndarray, "n k"]
) -> Float32[np.ndarray, " k"]:
    """For each label, the threshold of greatest sensitivity + specificity - 1 among its known items.

    It lies half-way between the lowest probability that is called and the next one below. Of several best, the highest.
    0.5 where no threshold is better than chance, or a label has no positives or no negatives. target: NaN is unknown.

    References:
        Youden 1950, "Index for rating diagnostic tests".
    """
    return _each(probability, target, _youden)


def sensitive_thresholds(
    probability: Float[np.ndarray, "n k"], target: Float[np.ndarray, "n k"], sensitivity: float
) -> Float32[np.ndarray, " k"]:
    """For each label, the highest threshold that finds at least the share `sensitivity` of its known positives.

    It is the probability of one of them. With n positives shares come in steps of 1 / n: with few, all of them have
    to be found. 0.5 where a label has no positives or no negatives. target: NaN is unknown.
    """

    def choose(score: Float32[np.ndarray, " m"], positive: Bool[np.ndarray, " m"]) -> float:
        falling = np.sort(score[positive])[::-1]
        # Rounding must not ask for one positive more: 0.07 * 100 is 7.000000000000001.
        needed = math.ceil(sensitivity * len(falling) - 1e-9)
        return float(falling[max(needed, 1) - 1])

    return _each(probability, target, choose)


def _each(
    probability: Float[np.ndarray, "n k"],
    target: Float[np.ndarray, "n k"],
    choose: Callable[[Float32[np.ndarray, " m"], Bool[np.ndarray, " m"]], float],
) -> Float32[np.ndarray, " k"]:
    found = np.full(probability.shape[1], HALF, np.float32)
    for k in range(len(found)):
        known = ~np.isnan(target[:, k])
        positive = target[known, k] > 0.5
        if positive.any() and not positive.all():
            # Predictions are float32: thresholds are compared with what they are.
            found[k] = choose(probability[known, k].astype(np.float32), positive)
    return found


def _youden(score: Float32[np.ndarray, " m"], positive: Bool[np.ndarray, " m"]) -> float:
    levels = np.unique(score)
    place = np.searchsorted(levels, score)
    hits, alarms = (np.bincount(place[which], minlength=len(levels)) for which in (positive, ~positive))
    # Called at level j: all at or above it.
    sensitivity = np.cumsum(hits[::-1])[::-1] / hits.sum()
    false_alarms = np.cumsum(alarms[::-1])[::-1] / alarms.sum()
    index = sensitivity - false_alarms
    # Sums of shares that are equal on paper differ by rounding.
    best = int(np.flatnonzero(index >= index.max() - 1e-12)[-1])
    if best == 0 or index[best] <= 1e-12:
        return HALF
    middle = np.float32((float(levels[best - 1]) + float(levels[best])) / 2)
    return float(middle if middle > levels[best - 1] else levels[best])
