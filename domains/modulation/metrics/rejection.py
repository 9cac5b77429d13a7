"""What rejecting unlikely frames keeps and costs: a frame is rejected where its typicality is below predict.reject."""

from collections.abc import Callable
from typing import Literal

import numpy as np
import xarray as xr

Share = Literal["known_kept", "unknown_rejected", "accuracy_kept"]


def rejection(records: xr.Dataset, level: float, share: Share) -> Callable[[np.ndarray], float]:
    """One share, in [0, 1], higher is better; NaN where no frame is counted or the records hold no typicality.

    known_kept: of frames of a known class, those kept. unknown_rejected: of frames of no class, those rejected.
    accuracy_kept: of known frames that are kept, those named right.
    """
    if "typicality" not in records:
        return lambda weight: float("nan")
    known = records["truth"].values >= 0
    kept = records["typicality"].values >= level
    right = records["probability"].transpose("item", "class").values.argmax(1) == records["truth"].values
    counted, good = {
        "known_kept": (known, kept),
        "unknown_rejected": (~known, ~kept),
        "accuracy_kept": (known & kept, right),
    }[share]

    def value(weight: np.ndarray) -> float:
        total = float(weight[counted].sum())
        return float(weight[counted & good].sum()) / total if total > 0 else float("nan")

    return value
