"""Means over items of the scores of masks. A score that is NaN (mask not drawn, distance undefined) never counts."""

from collections.abc import Callable
from typing import Literal

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float64

from armillary.domains.medical.metrics.reduce import mean_of_known

Prepared = Callable[[np.ndarray], float]
Unit = Literal["mm", "px"]


def mean_score(records: xr.Dataset, name: str, structure: str | None = None, unit: Unit | None = None) -> Prepared:
    """The mean over items of one structure's score; without `structure`, the plain mean over structures of those.

    unit: only items whose pixel spacing is known (mm), or only those where it is not (px).
    NaN where no item has the score, or the records do not hold it.
    """
    if name not in records:
        return lambda weight: float("nan")
    scores = records[name].transpose("item", "structure")
    if structure is not None:
        scores = scores.isel(structure=np.flatnonzero(scores["structure"].values == structure))
    values = scores.values.astype(np.float64)
    if unit is not None:
        values = np.where(_has_unit(records, unit)[:, None], values, np.nan)
    known = ~np.isnan(values)
    filled, counts = np.where(known, values, 0.0), known.astype(np.float64)
    return lambda weight: mean_of_known(_means(filled, counts, weight))


def _has_unit(records: xr.Dataset, unit: Unit) -> Bool[np.ndarray, " item"]:
    """Which items have distances in this unit: in mm where the spacing of their pixels is known along every axis."""
    if "spacing_mm" not in records:
        return np.full(records.sizes["item"], unit == "px")
    spacing = records["spacing_mm"].transpose("item", "axis").values
    known = (np.isfinite(spacing) & (spacing > 0)).all(1) & (spacing.shape[1] > 0)
    return known == (unit == "mm")


def _means(
    filled: Float64[np.ndarray, "n k"], counts: Float64[np.ndarray, "n k"], weight: np.ndarray
) -> Float64[np.ndarray, " k"]:
    total = weight @ counts
    return np.divide(weight @ filled, total, out=np.full(len(total), np.nan), where=total > 0)
