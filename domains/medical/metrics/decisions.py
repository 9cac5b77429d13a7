"""How good the answers are once each label's probability is compared with its threshold.

All in [0, 1], higher is better; each is a plain mean over the labels for which it is defined.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
import xarray as xr

from armillary.domains.medical.metrics.labels import judged
from armillary.domains.medical.metrics.reduce import mean_of_known

Share = Literal["accuracy", "sensitivity", "specificity"]


def decided(records: xr.Dataset, share: Share) -> Callable[[np.ndarray], float]:
    """The mean over labels of one share. A label counts as found where probability >= threshold.

    accuracy: of the known items, those answered right. sensitivity: of the positives, those found; NaN for a label
    without positives. specificity: of the negatives, those not called positive; NaN for a label without negatives.
    """
    found = judged(records)
    called = found.probability >= found.threshold
    counted = {
        "accuracy": found.known,
        "sensitivity": found.known & found.positive,
        "specificity": found.known & ~found.positive,
    }[share]
    right = (counted & (called == found.positive)).astype(np.float64)
    total = counted.astype(np.float64)

    def value(weight: np.ndarray) -> float:
        everyone = weight @ total
        return mean_of_known(
            np.divide(weight @ right, everyone, out=np.full(len(everyone), np.nan), where=everyone > 0)
        )

    return value
