"""Metrics of labels that are there or not, several at once. Unknown labels (NaN) never count.

Range [0, 1] unless said otherwise. An area needs positives and negatives: a label without one of them has none, is left
out of the mean over labels, and is not counted by `labels_judged`. Every mean over labels is plain: all weigh alike.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Float64, Int64

from armillary.core.classification.log_loss import CLIP
from armillary.core.classification.ranking import Area, Ranking, rank
from armillary.core.classification.scored import weighted_counts
from armillary.domains.medical.metrics.reduce import mean_of_known

Prepared = Callable[[np.ndarray], float]
BINS = 15


@dataclass(frozen=True)
class Judged:
    """Probability and target (NaN: unknown) of each item and label, and from which probability a label counts."""

    probability: Float64[np.ndarray, "n k"]
    target: Float64[np.ndarray, "n k"]
    threshold: Float64[np.ndarray, " k"]
    labels: tuple[str, ...]

    @property
    def known(self) -> Bool[np.ndarray, "n k"]:
        """Where the target is known."""
        return ~np.isnan(self.target)

    @property
    def positive(self) -> Bool[np.ndarray, "n k"]:
        """Where the label is known to be there."""
        return self.target > 0.5


def judged(records: xr.Dataset) -> Judged:
    """What the records of labels or of classes say; without a threshold in them it is 0.5.

    Raises:
        ValueError: a probability that is not finite where the target is known.
    """
    axis = "label" if "label" in records.dims else "class"
    probability = records["probability"].transpose("item", axis).values.astype(np.float64)
    target = records["target"].transpose("item", axis).values.astype(np.float64)
    labels = tuple(str(name) for name in records[axis].values)
    bad = np.flatnonzero((~np.isfinite(probability) & ~np.isnan(target)).any(1))
    if len(bad):
        raise ValueError(
            f"the probabilities of item '{records['item'].values[bad[0]]}' are not finite ({len(bad)} such items of "
            f"{len(probability)}); metrics need one finite probability a label. Look at the model that made them."
        )
    threshold = records["threshold"].values.astype(np.float64) if "threshold" in records else np.full(len(labels), 0.5)
    return Judged(probability, target, threshold, labels)


@dataclass(frozen=True)
class RankedLabel:
    """The known items of one label, sorted once for all weights."""

    rows: Int64[np.ndarray, " n"]
    ranking: Ranking

    def area(self, weight: Float[np.ndarray, " item"], area: Area) -> float:
        """Its area where an item counts as often as `weight` says; NaN where it has none."""
        return area(*self.ranking.counts(weight[self.rows]))


def rank_labels(found: Judged, chosen: Bool[np.ndarray, " n"] | None = None) -> list[RankedLabel | None]:
    """Each label's known items (those that are `chosen`) by probability; None without positives or negatives."""
    known = found.known if chosen is None else found.known & chosen[:, None]
    ranked: list[RankedLabel | None] = []
    for k in range(len(found.labels)):
        rows = np.flatnonzero(known[:, k]).astype(np.int64)
        positive = found.positive[rows, k]
        both = bool(positive.any() and not positive.all())
        ranked.append(RankedLabel(rows, rank(found.probability[rows, k], positive)) if both else None)
    return ranked


def mean_area(records: xr.Dataset, area: Area) -> Prepared:
    """The mean over labels of each label's area: AUROC, or average precision. NaN where no label has one.

    The 14 labels of a small test part often lack positives; then the mean is over the others, `labels_judged` of them.

    References:
        Fawcett 2006, "An introduction to ROC analysis" (ties count half).
    """
    return mean_of_areas(rank_labels(judged(records)), area)


def mean_of_areas(ranked: list[RankedLabel | None], area: Area) -> Prepared:
    """The mean of the areas that are defined, as a function of the items' weight."""
    usable = [label for label in ranked if label is not None]
    return lambda weight: mean_of_known(np.array([label.area(weight, area) for label in usable]))


def area_of(records: xr.Dataset, label: str, area: Area) -> Prepared:
    """The area of one label; NaN where it has no positives or no negatives."""
    found = judged(records)
    ranked = rank_labels(found)[found.labels.index(label)] if label in found.labels else None
    return (lambda weight: ranked.area(weight, area)) if ranked is not None else (lambda weight: float("nan"))


def labels_judged(records: xr.Dataset) -> Prepared:
    """How many labels have both a positive and a negative, so that the mean AUROC is over them; 0 to k."""
    found = judged(records)
    if not len(found.target):
        return lambda weight: float("nan")
    there, absent = found.positive & found.known, ~found.positive & found.known

    def value(weight: np.ndarray) -> float:
        counted = weight > 0
        return float((there[counted].any(0) & absent[counted].any(0)).sum())

    return value


def log_loss(records: xr.Dataset) -> Prepared:
    """Binary cross entropy [nat], the mean over all known (item, label) pairs; 0 to 34.5, lower is better.

    Probabilities are clipped to [1e-15, 1 - 1e-15]. NaN where nothing is known.
    """
    found = judged(records)
    said = np.clip(np.where(found.positive, found.probability, 1 - found.probability), CLIP, 1 - CLIP)
    loss = np.where(found.known, -np.log(np.where(found.known, said, 1.0)), 0.0).sum(1)
    count = found.known.sum(1).astype(np.float64)
    return lambda weight: _ratio(float(weight @ loss), float(weight @ count))


def calibration_error(records: xr.Dataset, bins: int = BINS) -> Prepared:
    """The mean over labels of sum_b (n_b / n) |share of positives in b - mean probability in b|, lower is better.

    Bins are equal ones of the label's own probability, (b, b + 1] / bins; a label of which nothing is known is left
    out. Biased upwards for few items, and small for a rare label whatever its ranking.

    References:
        Guo et al. 2017, "On calibration of modern neural networks", eq. 3, with the probability of the label in place
        of the confidence.
    """
    found = judged(records)
    rows, columns = np.nonzero(found.known)
    size = len(found.labels)
    probability = found.probability[rows, columns]
    gap = found.positive[rows, columns] - probability
    place = columns * bins + np.clip(np.ceil(probability * bins).astype(np.int64) - 1, 0, bins - 1)

    def value(weight: np.ndarray) -> float:
        chosen = weight[rows].astype(np.float64)
        apart = np.abs(weighted_counts(place, chosen * gap, size * bins)).reshape(size, bins).sum(1)
        total = weighted_counts(columns, chosen, size)
        return mean_of_known(np.divide(apart, total, out=np.full(size, np.nan), where=total > 0))

    return value


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else float("nan")
