"""How good the answer is against days since the first detection."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from armillary.core.classification.confusion import accuracy
from armillary.core.classification.log_loss import balanced_log_loss
from armillary.core.plotting import BLUE, VERMILLION, new_figure
from armillary.domains.transients.metrics.early import at_day


def early_figure(prediction: xr.Dataset) -> Figure:
    """Class-balanced log loss and accuracy of what was known on each day after the first detection."""
    days = prediction["day"].values.astype(np.float64)
    records = [at_day(prediction, float(day)) for day in days]
    once = np.ones(prediction.sizes["item"])
    figure = new_figure(4.8, 4.2)
    upper, lower = figure.subplots(2, 1, sharex=True)
    upper.plot(days, [balanced_log_loss(record)(once) for record in records], "o-", color=BLUE)
    lower.plot(days, [accuracy(record)(once) for record in records], "s-", color=VERMILLION)
    upper.set(ylabel="Balanced log loss [nat]")
    upper.set_ylim(bottom=0)
    lower.set(xlabel="Time since first detection [d]", ylabel="Accuracy", ylim=(0, 1))
    return figure
