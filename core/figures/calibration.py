"""How often the answer is right, against how sure it was."""

import numpy as np
from matplotlib.figure import Figure

from armillary.core.classification.calibration import BINS, calibration_error_of, calibration_sums
from armillary.core.classification.scored import Scored
from armillary.core.figures.intervals import wilson
from armillary.core.plotting import BLUE, GREY, new_figure


def calibration_figure(known: Scored, items: str = "items") -> Figure:
    """Accuracy against mean confidence in bins of the highest probability, with 95 % ranges; below, how many items.

    The range is Wilson's score interval of a binomial proportion. items: what they are called, in the plural.
    """
    sums = calibration_sums(known, np.ones(len(known.truth)))
    filled = sums.table[0] > 0
    count, confidence, correct = sums.table[:, filled]
    low, high = wilson(correct, count)
    figure = new_figure(4.2, 4.6)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="perfect")
    rate = correct / count
    reach = np.maximum([rate - low, high - rate], 0)
    upper.errorbar(confidence / count, rate, reach, fmt="o-", color=BLUE, capsize=2, label="observed")
    upper.set(ylabel="Accuracy", xlim=(0, 1), ylim=(0, 1.02))
    upper.set_title(f"Expected calibration error {calibration_error_of(sums):.3f}")
    upper.legend(loc="upper left")
    middles = (np.arange(BINS) + 0.5) / BINS
    lower.bar(middles, sums.table[0], width=0.9 / BINS, color=BLUE)
    lower.set(xlabel="Highest probability", ylabel=items.capitalize(), yscale="log", ylim=(0.8, None))
    return figure
