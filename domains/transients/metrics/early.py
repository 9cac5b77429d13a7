"""How good the answer is some days after the first detection, from the probability track of causal systems."""

from collections.abc import Callable

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float64

from armillary.domains.transients.metrics.log_loss import balanced_log_loss

DAYS = (5, 10, 20, 50)


def balanced_log_loss_at(records: xr.Dataset, days: float) -> Callable[[np.ndarray], float]:
    """Class-balanced log loss [nat] of what was known `days` after the first detection; lower is better.

    An item's answer is the one after its last observation at or before that day; it stays once observations end.
    NaN rule: items without an observation by then are left out; NaN for records without tracks.
    """
    if "track_probability" not in records:
        return lambda weight: float("nan")
    probability, reached = state_at(records, days)
    early = xr.Dataset(
        {
            "probability": (("item", "class"), probability),
            "truth": ("item", np.where(reached, records["truth"].values, -1)),
        },
        {"item": records["item"], "class": records["class"]},
    )
    return balanced_log_loss(early)


def state_at(records: xr.Dataset, days: float) -> tuple[Float64[np.ndarray, "item k"], Bool[np.ndarray, " item"]]:
    """Each item's probabilities after its last observation at or before `days` [d], and whether it had one.

    Rows of items without one are zero.
    """
    sizes = records["track_row_size"].values.astype(np.int64)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    seen = np.bincount(owner[records["track_time"].values <= days], minlength=len(sizes))
    last = np.cumsum(sizes) - sizes + seen - 1
    tracks = records["track_probability"].transpose("observation", "class").values
    probability = np.zeros((len(sizes), tracks.shape[1]), np.float64)
    probability[seen > 0] = tracks[last[seen > 0]]
    return probability, seen > 0
