"""How good the answer is some days after the first detection, from what causal systems knew by then."""

from collections.abc import Callable

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float64

from armillary.core.classification.log_loss import balanced_log_loss


def balanced_log_loss_at(records: xr.Dataset, day: float) -> Callable[[np.ndarray], float]:
    """Class-balanced log loss [nat] of what was known `day` days after the first detection; lower is better.

    NaN rule: items without an observation by then are left out; NaN for records that hold neither tracks nor
    early_probability of that day.
    """
    if not has_day(records, day):
        return lambda weight: float("nan")
    return balanced_log_loss(at_day(records, day))


def has_day(records: xr.Dataset, day: float) -> bool:
    """Whether the records tell what was known on that day."""
    return "track_probability" in records or ("early_probability" in records and day in records["day"].values)


def at_day(records: xr.Dataset, day: float) -> xr.Dataset:
    """The records as they were on that day; truth is -1 (left out) where nothing had been observed yet."""
    if "early_probability" in records:
        probability = records["early_probability"].sel(day=day).transpose("item", "class").values.astype(np.float64)
        reached = np.isfinite(probability).all(1)
    else:
        probability, reached = state_at(records, day)
    return xr.Dataset(
        {
            "probability": (("item", "class"), probability),
            "truth": ("item", np.where(reached, records["truth"].values, -1)),
        },
        {"item": records["item"], "class": records["class"]},
    )


def state_at(records: xr.Dataset, day: float) -> tuple[Float64[np.ndarray, "item k"], Bool[np.ndarray, " item"]]:
    """Each item's probabilities after its last observation at or before `day` [d], and whether it had one.

    The answer stays once observations end. Rows of items without one are zero.
    """
    sizes = records["track_row_size"].values.astype(np.int64)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    seen = np.bincount(owner[records["track_time"].values <= day], minlength=len(sizes))
    last = np.cumsum(sizes) - sizes + seen - 1
    tracks = records["track_probability"].transpose("observation", "class").values
    probability = np.zeros((len(sizes), tracks.shape[1]), np.float64)
    probability[seen > 0] = tracks[last[seen > 0]]
    return probability, seen > 0
