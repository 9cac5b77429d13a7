"""Mean AUROC among the patients of one sex or age, or the images of one view: a gap between them is worth a look."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import xarray as xr
from jaxtyping import Bool

from armillary.core.classification.ranking import roc_area
from armillary.domains.medical.metrics.labels import judged, mean_of_areas, rank_labels

Variable = Literal["sex", "age_years", "view"]


@dataclass(frozen=True)
class Subgroup:
    """Items whose sex or view is `value`, whatever the case of its letters, or whose age is in [low, high) years."""

    name: str
    variable: Variable
    value: str = ""
    low: float = float("-inf")
    high: float = float("inf")

    def members(self, records: xr.Dataset) -> Bool[np.ndarray, " item"]:
        """Which items belong; none of unknown sex, age or view, and none where the records do not tell."""
        if self.variable not in records:
            return np.zeros(records.sizes["item"], np.bool_)
        values = records[self.variable].values
        if self.variable == "age_years":
            return (values >= self.low) & (values < self.high)
        return np.array([str(value).casefold() == self.value.casefold() for value in values], np.bool_)


SEXES = (Subgroup("F", "sex", "F"), Subgroup("M", "sex", "M"))
AGES = (
    Subgroup("below_40", "age_years", high=40.0),
    Subgroup("40_to_60", "age_years", low=40.0, high=60.0),
    Subgroup("from_60", "age_years", low=60.0),
)
VIEWS = ("PA", "AP")


def subgroup_auroc(records: xr.Dataset, group: Subgroup) -> Callable[[np.ndarray], float]:
    """The mean over labels of AUROC among the group's items, in [0, 1], higher is better.

    NaN where no label has both positives and negatives there. Which labels have them differs from group to group, so
    two groups compare only roughly: the figure of a small one is over few labels.
    """
    ranked = rank_labels(judged(records), group.members(records))
    return mean_of_areas(ranked, roc_area)
