"""Areas under the ROC and the precision-recall curve, from scores that are sorted once for all weights.

Range [0, 1], higher is better; a random ranking has ROC-AUC 1/2 and PR-AUC the share of positives.
NaN rule: without positives, or (ROC) without negatives, a class has no area and is left out of the macro mean;
NaN when no class has one.

References:
    Fawcett 2006, "An introduction to ROC analysis", algorithm 2 (ties count half);
    Davis and Goadrich 2006, "The relationship between precision-recall and ROC curves" (no linear interpolation:
    PR-AUC is the average precision, sum_n (R_n - R_{n-1}) P_n).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Float64, Int64

from armillary.core.classification.scored import scored

Area = Callable[[Float64[np.ndarray, " g"], Float64[np.ndarray, " g"]], float]


@dataclass(frozen=True)
class Ranking:
    """Items from the highest score down; `starts` are the places where a lower score begins."""

    order: Int64[np.ndarray, " n"]
    starts: Int64[np.ndarray, " g"]
    positive: Bool[np.ndarray, " n"]  # in ranked order

    def counts(self, weight: Float[np.ndarray, " n"]) -> tuple[Float64[np.ndarray, " g"], Float64[np.ndarray, " g"]]:
        """Weights of the positives and of all items at each distinct score, from the highest down."""
        if len(self.order) == 0:
            return np.zeros(0), np.zeros(0)
        ranked = weight[self.order].astype(np.float64)
        return np.add.reduceat(ranked * self.positive, self.starts), np.add.reduceat(ranked, self.starts)


def rank(score: Float[np.ndarray, " n"], positive: Bool[np.ndarray, " n"]) -> Ranking:
    """Sort items by score, equal scores in one group."""
    order = np.argsort(-score, kind="stable").astype(np.int64)
    falls = np.flatnonzero(np.diff(score[order])) + 1
    starts = np.concatenate([np.zeros(min(1, len(order)), np.int64), falls]).astype(np.int64)
    return Ranking(order, starts, positive[order])


def roc_area(positives: Float64[np.ndarray, " g"], everyone: Float64[np.ndarray, " g"]) -> float:
    """The chance that a positive has a higher score than a negative; equal scores count half."""
    negatives = everyone - positives
    pairs = positives.sum() * negatives.sum()
    if pairs <= 0:
        return float("nan")
    lower = negatives.sum() - np.cumsum(negatives)
    return float((positives * (lower + negatives / 2)).sum() / pairs)


def average_precision(positives: Float64[np.ndarray, " g"], everyone: Float64[np.ndarray, " g"]) -> float:
    """The mean over positives of the precision at their score."""
    if positives.sum() <= 0:
        return float("nan")
    called = np.cumsum(everyone)
    precision = np.cumsum(positives) / np.where(called > 0, called, 1)
    return float((positives * precision).sum() / positives.sum())


def macro_area(records: xr.Dataset, area: Area) -> Callable[[np.ndarray], float]:
    """The mean over classes of each class's area against the rest."""
    known = scored(records)
    rankings = [rank(known.probability[:, k], known.truth == k) for k in range(len(known.classes))]

    def value(weight: np.ndarray) -> float:
        chosen = weight[known.known]
        areas = np.array([area(*ranking.counts(chosen)) for ranking in rankings])
        defined = areas[~np.isnan(areas)]
        return float(defined.mean()) if len(defined) else float("nan")

    return value


def micro_area(records: xr.Dataset, area: Area) -> Callable[[np.ndarray], float]:
    """The area of all (item, class) pairs in one ranking, positive where the class is the item's own."""
    known = scored(records)
    size = len(known.classes)
    ranking = rank(known.probability.ravel(), (known.truth[:, None] == np.arange(size)).ravel())
    return lambda weight: area(*ranking.counts(np.repeat(weight[known.known], size)))
