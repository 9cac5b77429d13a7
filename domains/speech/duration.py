"""How much signal a prediction covers."""

import numpy as np
import xarray as xr


def seconds(prediction: xr.Dataset) -> float:
    """Length of all files whose last window is among these [s]: parts that windows share count once."""
    last = prediction["last"].values.astype(np.bool_)
    ends = prediction["start"].values[last] + prediction["length"].values[last]
    return float(ends.sum()) / float(prediction.attrs["sample_rate_hz"])
