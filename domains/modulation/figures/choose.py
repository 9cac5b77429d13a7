"""Which frames a report shows."""

import numpy as np
import xarray as xr
from jaxtyping import Int64


def choose_frames(prediction: xr.Dataset, number: int) -> Int64[np.ndarray, " chosen"]:
    """Places of the frames to draw: at the highest SNR labels, a right and a wrong one in turn, of ever new classes.

    Where no class is known, the surest answers of each predicted class; windows without a signal come last.
    """
    probability = prediction["probability"].transpose("item", "class").values
    truth, predicted = prediction["truth"].values, probability.argmax(1)
    known = truth >= 0
    worth = np.where(known, _snr(prediction), probability.max(1, initial=0.0))
    idle = ~prediction["detected"].values if "detected" in prediction else np.zeros(len(truth), np.bool_)
    order = np.lexsort((np.arange(len(truth)), -worth, idle, ~known))
    kind, right = np.where(known, truth, predicted)[order], (truth == predicted)[order]
    uses, free, chosen = np.zeros(probability.shape[1], np.int64), np.ones(len(order), np.bool_), list[int]()
    for turn in range(min(number, len(order))):
        wanted = free & (right == (turn % 2 == 0))
        pool = np.flatnonzero(wanted if wanted.any() else free)
        place = int(pool[np.argmin(uses[kind[pool]])])
        uses[kind[place]] += 1
        free[place] = False
        chosen.append(int(order[place]))
    return np.array(chosen, np.int64)


def _snr(prediction: xr.Dataset) -> np.ndarray:
    """SNR labels, unknown ones below all."""
    if "snr_db" not in prediction:
        return np.zeros(prediction.sizes["item"])
    return np.nan_to_num(prediction["snr_db"].values.astype(np.float64), nan=-1e9)
