"""The confusion matrix as a figure."""

import numpy as np
from matplotlib.figure import Figure

from armillary.core.classification.confusion import confusion
from armillary.core.classification.scored import Scored
from armillary.core.plotting import SHADES, new_figure

CELL = 0.62  # inch
MANY = 8  # classes from which on the numbers are set smaller


def confusion_figure(known: Scored) -> Figure:
    """Each true class's items over predicted classes: fractions of the row, with counts beneath."""
    counts = confusion(known, np.ones(len(known.truth))).table
    totals = counts.sum(1, keepdims=True)
    share = counts / np.where(totals > 0, totals, 1)
    size = len(known.classes)
    figure = new_figure(2.2 + CELL * size, 1.0 + CELL * size)
    axes = figure.add_subplot()
    image = axes.imshow(share, cmap=SHADES, vmin=0, vmax=1)
    font = 8 if size < MANY else 6.5
    for row, column in np.ndindex(size, size):
        if counts[row, column] == 0:
            continue
        shade = "black" if share[row, column] > 0.5 else "white"
        text = f"{share[row, column]:.2f}\n{counts[row, column]:.0f}"
        axes.text(column, row, text, ha="center", va="center", color=shade, fontsize=font)
    axes.set_xticks(range(size), known.classes, rotation=45, ha="right", rotation_mode="anchor")
    labels = [f"{name} ({total:.0f})" for name, total in zip(known.classes, totals[:, 0], strict=True)]
    axes.set_yticks(range(size), labels)
    axes.set(xlabel="Predicted class", ylabel="True class (objects)")
    axes.spines[:].set_visible(False)
    figure.colorbar(image, ax=axes, label="Fraction of the true class", shrink=0.8)
    return figure
