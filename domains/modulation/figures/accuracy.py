"""Accuracy against the SNR label."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from armillary.core.classification.scored import weighted_counts
from armillary.core.figures.intervals import wilson
from armillary.core.plotting import BLUE, GREY, new_figure
from armillary.domains.modulation.metrics.by_snr import BySNR, by_snr

SNR = "SNR label [dB]"


def accuracy_figure(table: BySNR) -> Figure:
    """Accuracy at each known SNR label with its 95 % range, and the line of chance.

    The range is Wilson's score interval, which takes frames for independent.
    """
    told = ~np.isnan(table.labels)
    count = weighted_counts(table.place, np.ones(len(table.place)), len(table.labels))[told]
    rate = table.accuracy(np.ones(len(table.known.known)))[told]
    low, high = wilson(rate * count, count)
    figure = new_figure(5.4, 3.6)
    axes = figure.add_subplot()
    axes.fill_between(table.labels[told], low, high, color=BLUE, alpha=0.2, linewidth=0, label="95 % range")
    axes.plot(table.labels[told], rate, "o-", color=BLUE, label=f"accuracy, mean {rate.mean():.3f}")
    draw_chance(axes, len(table.known.classes))
    finish(axes)
    axes.legend(loc="upper left")
    return figure


def draw_chance(axes: Axes, classes: int) -> None:
    """The accuracy of a guess."""
    axes.axhline(1 / classes, color=GREY, linestyle="--", linewidth=1, label=f"chance, 1/{classes}")


def finish(axes: Axes) -> None:
    """Labels, limits and a faint grid."""
    axes.set(xlabel=SNR, ylabel="Accuracy", ylim=(0, 1.02))
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)


def snr_table(prediction: xr.Dataset) -> BySNR | None:
    """The items of known class by SNR label; None where no label is known."""
    table = by_snr(prediction)
    return None if np.isnan(table.labels).all() else table
