"""How well hidden patches are filled in. Errors are of grey values over their standard deviation; lower is better."""

from collections.abc import Callable

import numpy as np
import xarray as xr


def mean_error(records: xr.Dataset, name: str) -> Callable[[np.ndarray], float]:
    """The mean over items of `masked_error`, or of `mean_error`: that of saying the mean of what is visible.

    NaN without items.
    """
    values = records[name].values.astype(np.float64)
    return lambda weight: _ratio(float(weight @ values), float(weight.sum()))


def error_share(records: xr.Dataset) -> Callable[[np.ndarray], float]:
    """sum masked_error / sum mean_error: 0 is perfect, 1 no better than the mean of what is visible.

    NaN where the mean of what is visible is right everywhere (empty images), and without items.
    """
    model, plain = (records[name].values.astype(np.float64) for name in ("masked_error", "mean_error"))
    return lambda weight: _ratio(float(weight @ model), float(weight @ plain))


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else float("nan")
