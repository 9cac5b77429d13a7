"""Means that leave out what is not defined."""

import numpy as np
from jaxtyping import Float


def mean_of_known(values: Float[np.ndarray, " n"]) -> float:
    """The mean of the values that are not NaN; NaN where all are."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
