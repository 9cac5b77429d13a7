"""Several runs in one figure."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from armillary.core.plotting import LINES, MARKERS, PALETTE, house_style, legend_beside, new_figure
from armillary.domains.modulation.figures.accuracy import draw_chance, finish, snr_table
from armillary.domains.modulation.metrics.by_snr import BySNR

CAPTION = (
    "Accuracy on the test split against the SNR label of every run; the legend gives the mean over the labels. "
    "Runs on other frames, classes or labels cannot be compared by it."
)


def joint_figures(predictions: Mapping[str, xr.Dataset]) -> dict[str, Figure]:
    """ "accuracy_of_runs": accuracy against SNR label of each run, by its name; none without SNR labels."""
    found = {name: snr_table(prediction) for name, prediction in predictions.items()}
    tables = {name: table for name, table in found.items() if table is not None}
    if not tables:
        return {}
    with house_style():
        figure = _accuracy_of_runs(tables)
    figure.set_label(CAPTION)
    return {"accuracy_of_runs": figure}


def _accuracy_of_runs(tables: Mapping[str, BySNR]) -> Figure:
    figure = new_figure(8.0, 3.9)
    axes = figure.add_subplot()
    for place, (name, table) in enumerate(tables.items()):
        told = ~np.isnan(table.labels)
        rate = table.accuracy(np.ones(len(table.known.known)))[told]
        axes.plot(table.labels[told], rate, label=f"{name}, {rate.mean():.3f}", **_style(place))
    for classes in sorted({len(table.known.classes) for table in tables.values()}):
        draw_chance(axes, classes)
    finish(axes)
    legend_beside(axes, "Run, mean accuracy")
    return figure


def _style(place: int) -> dict[str, Any]:
    """Colour, marker and line of the place-th run: alike for none of the first twenty-one."""
    return {
        "color": PALETTE[place % len(PALETTE)],
        "marker": MARKERS[place % len(MARKERS)],
        "linestyle": LINES[place % len(LINES)],
    }
