"""How often a label is there, against the probability that it was given."""

import numpy as np
from jaxtyping import Bool, Float64
from matplotlib.figure import Figure

from armillary.core.figures.intervals import wilson
from armillary.core.plotting import BLUE, GREY, new_figure
from armillary.domains.medical.metrics.labels import Judged

_BINS = 10


def reliability_figure(found: Judged) -> Figure | None:
    """Share of positives against mean probability in bins of equal width, all labels together; below, how many.

    Bars are Wilson's 95 % intervals, as if pairs of image and label were independent: images of one patient are not.
    None where nothing is known.
    """
    known = found.known
    probability, positive = found.probability[known], found.positive[known]
    if not len(probability):
        return None
    count, mean, rate = binned(probability, positive)
    low, high = wilson(rate * count, count)
    figure = new_figure(4.4, 4.6)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="perfect")
    reach = np.maximum([rate - low, high - rate], 0)
    upper.errorbar(mean, rate, reach, fmt="o-", color=BLUE, capsize=2, label=f"{len(found.labels)} labels together")
    upper.set(ylabel="Share that is there", xlim=(0, 1), ylim=(0, 1.02))
    upper.legend(loc="upper left")
    middles = (np.arange(_BINS) + 0.5) / _BINS
    lower.bar(middles, np.histogram(probability, _BINS, (0, 1))[0], width=0.9 / _BINS, color=BLUE)
    lower.set(xlabel="Probability", ylabel="Pairs", yscale="log", ylim=(0.8, None))
    return figure


def binned(
    probability: Float64[np.ndarray, " n"], positive: Bool[np.ndarray, " n"]
) -> tuple[Float64[np.ndarray, " m"], Float64[np.ndarray, " m"], Float64[np.ndarray, " m"]]:
    """Number, mean probability and share of positives of each bin that is not empty."""
    place = np.clip((probability * _BINS).astype(np.int64), 0, _BINS - 1)
    count = np.bincount(place, minlength=_BINS).astype(np.float64)
    filled = count > 0
    mean = np.bincount(place, probability, _BINS)[filled] / count[filled]
    rate = np.bincount(place, positive.astype(np.float64), _BINS)[filled] / count[filled]
    return count[filled], mean, rate
