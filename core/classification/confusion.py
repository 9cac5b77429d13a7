"""The confusion matrix and the metrics that follow from it: accuracy, macro F1, kappa, purity and efficiency.

All lie in [0, 1] (kappa in [-1, 1]), higher is better. The predicted class is the most probable one.
"""

from collections.abc import Callable, Collection
from functools import partial

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float

from armillary.core.classification.scored import Scored, Sums, scored, weighted_counts


def confusion(known: Scored, weight: Float[np.ndarray, " n"]) -> Sums:
    """Weighted counts, row the true class, column the predicted one."""
    size = len(known.classes)
    counts = weighted_counts(known.truth * size + known.predicted, weight, size * size)
    return Sums(counts.reshape(size, size))


def accuracy(records: xr.Dataset) -> Callable[[np.ndarray], float]:
    """Share of items whose most probable class is the true one. NaN without items."""
    return _from_confusion(records, accuracy_of)


def macro_f1(records: xr.Dataset) -> Callable[[np.ndarray], float]:
    """Mean over classes of F1 = 2 TP / (2 TP + FP + FN).

    NaN rule: a class that is neither true nor predicted anywhere is left out (as scikit-learn does); NaN if all are.
    """
    return _from_confusion(records, macro_f1_of)


def kappa(records: xr.Dataset) -> Callable[[np.ndarray], float]:
    """Cohen's kappa: (p_o - p_e) / (1 - p_e), observed agreement beyond that of independent answers.

    NaN rule: NaN without items, and where chance alone agrees always (one class, always named).

    References:
        Cohen 1960, "A coefficient of agreement for nominal scales".
    """
    return _from_confusion(records, kappa_of)


def purity(records: xr.Dataset, names: Collection[str]) -> Callable[[np.ndarray], float]:
    """TP / (TP + FP): the share of items called one of `names` that are. NaN when none is called so."""
    return _from_confusion(records, partial(purity_of, chosen=_chosen(records, names)))


def efficiency(records: xr.Dataset, names: Collection[str]) -> Callable[[np.ndarray], float]:
    """TP / (TP + FN): the share of items that are one of `names` and are called so. NaN when there is none.

    Taking one of `names` for another of them is no error in purity or efficiency.
    """
    return _from_confusion(records, partial(efficiency_of, chosen=_chosen(records, names)))


def accuracy_of(sums: Sums) -> float:
    """Accuracy from a confusion matrix."""
    return _ratio(float(np.trace(sums.table)), float(sums.table.sum()))


def macro_f1_of(sums: Sums) -> float:
    """Macro F1 from a confusion matrix."""
    hits = np.diag(sums.table)
    total = sums.table.sum(0) + sums.table.sum(1)
    seen = total > 0
    return float(np.mean(2 * hits[seen] / total[seen])) if seen.any() else float("nan")


def kappa_of(sums: Sums) -> float:
    """Kappa from a confusion matrix."""
    total = float(sums.table.sum())
    if total <= 0:
        return float("nan")
    agreed = float(np.trace(sums.table)) / total
    chance = float(sums.table.sum(0) @ sums.table.sum(1)) / total**2
    return (agreed - chance) / (1 - chance) if chance < 1 else float("nan")


def purity_of(sums: Sums, chosen: Bool[np.ndarray, " k"]) -> float:
    """Purity of the chosen classes from a confusion matrix."""
    return _ratio(float(sums.table[chosen][:, chosen].sum()), float(sums.table[:, chosen].sum()))


def efficiency_of(sums: Sums, chosen: Bool[np.ndarray, " k"]) -> float:
    """Efficiency of the chosen classes from a confusion matrix."""
    return _ratio(float(sums.table[chosen][:, chosen].sum()), float(sums.table[chosen].sum()))


def _from_confusion(records: xr.Dataset, formula: Callable[[Sums], float]) -> Callable[[np.ndarray], float]:
    known = scored(records)
    return lambda weight: formula(confusion(known, weight[known.known]))


def _chosen(records: xr.Dataset, names: Collection[str]) -> Bool[np.ndarray, " k"]:
    return np.array([str(name) in names for name in records["class"].values], np.bool_)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else float("nan")
