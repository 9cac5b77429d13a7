"""ROC and precision-recall curves, one a class."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from armillary.core.classification.ranking import average_precision, rank, roc_area
from armillary.core.classification.scored import Scored
from armillary.core.plotting import GREY, legend_beside, new_figure, series_style

POINTS = 600  # of a curve; more cannot be seen and swell the report

Counts = Float64[np.ndarray, " g"]


def roc_figure(known: Scored) -> Figure:
    """True against false positive rate of each class against the rest; the dashed line is chance."""
    figure, axes = _square()
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    _draw(axes, known, _roc_points, roc_area)
    axes.set(xlabel="False positive rate", ylabel="True positive rate")
    legend_beside(axes, "Class (area)")
    return figure


def precision_recall_figure(known: Scored) -> Figure:
    """Precision (purity) against recall (efficiency) of each class; areas are average precisions."""
    figure, axes = _square()
    _draw(axes, known, _precision_recall_points, average_precision)
    axes.set(xlabel="Recall (efficiency)", ylabel="Precision (purity)")
    legend_beside(axes, "Class (area)")
    return figure


def _square() -> tuple[Figure, Axes]:
    figure = new_figure(5.4, 3.8)
    axes = figure.add_subplot()
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    return figure, axes


def _draw(
    axes: Axes,
    known: Scored,
    points: Callable[[Counts, Counts], tuple[np.ndarray, np.ndarray]],
    area: Callable[[Counts, Counts], float],
) -> None:
    """A curve for each class that has items in and outside it."""
    for place, name in enumerate(known.classes):
        positives, everyone = rank(known.probability[:, place], known.truth == place).counts(np.ones(len(known.truth)))
        if not 0 < positives.sum() < everyone.sum():
            continue
        across, up = points(positives, everyone)
        kept = np.unique(np.linspace(0, len(across) - 1, POINTS).astype(np.int64))
        label = f"{name} ({area(positives, everyone):.3f})"
        axes.plot(across[kept], up[kept], label=label, **series_style(place))


def _roc_points(positives: Counts, everyone: Counts) -> tuple[np.ndarray, np.ndarray]:
    negatives = np.cumsum(everyone - positives) / (everyone - positives).sum()
    return np.r_[0, negatives], np.r_[0, np.cumsum(positives) / positives.sum()]


def _precision_recall_points(positives: Counts, everyone: Counts) -> tuple[np.ndarray, np.ndarray]:
    hits = np.cumsum(positives)
    # Past full recall the precision only falls; a cliff there would tell nothing.
    kept = slice(int(np.argmax(hits >= positives.sum())) + 1)
    return (hits / positives.sum())[kept], (hits / np.cumsum(everyone))[kept]
