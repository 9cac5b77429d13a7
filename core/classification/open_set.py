"""How well a score tells objects of classes left out of training from those of known ones."""

from collections.abc import Callable

import numpy as np
import xarray as xr
from jaxtyping import Float64

from armillary.core.classification.ranking import rank, roc_area


def open_set_auc(records: xr.Dataset) -> Callable[[np.ndarray], float]:
    """ROC-AUC of the open-set score, positive where truth is -1; in [0, 1], 1/2 is chance, higher is better.

    NaN rule: NaN unless the records hold both known and left-out objects.

    References:
        Hendrycks and Gimpel 2017, "A baseline for detecting misclassified and out-of-distribution examples".
    """
    ranking = rank(novelty(records), records["truth"].values < 0)
    return lambda weight: roc_area(*ranking.counts(weight))


def novelty(records: xr.Dataset) -> Float64[np.ndarray, " item"]:
    """The records' open_set_score (higher: less like a known class), else 1 - the highest probability."""
    if "open_set_score" in records:
        return records["open_set_score"].values.astype(np.float64)
    return 1 - records["probability"].max("class").values.astype(np.float64)
