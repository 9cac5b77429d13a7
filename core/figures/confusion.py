"""The confusion matrix as a figure; with many classes its cells hold shares alone."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from armillary.core.classification.confusion import confusion
from armillary.core.classification.scored import Scored
from armillary.core.plotting import SHADES, new_figure

CELL = 0.62  # inch, of a cell with share and count
SMALL_CELL = 0.36  # inch, of a cell with its share alone
MANY = 8  # classes from which on the numbers are set smaller
COUNTED = 10  # classes up to which counts fit beneath the shares
PANEL_CELL, BARE_CELL = 0.27, 0.18  # inch, of a cell in one of several panels, with and without its number
NUMBERED = 12  # classes up to which cells of panels hold numbers


def confusion_figure(known: Scored, items: str = "items") -> Figure:
    """Each true class's items over predicted classes: shares of the row, with counts beneath where there is room.

    With more than `COUNTED` classes shares are in percent, those below 1 % left blank.
    items: what they are called, in the plural.
    """
    counts = confusion(known, np.ones(len(known.truth))).table
    size = len(known.classes)
    cell = CELL if size <= COUNTED else SMALL_CELL
    figure = _compressed(2.4 + cell * size, 1.0 + cell * size)
    axes = figure.add_subplot()
    image = _draw_matrix(axes, counts)
    if size <= COUNTED:
        _write_counts(axes, counts, 8.0 if size < MANY else 6.5)
    else:
        _write_percent(axes, counts, 7.0)
    _name_classes(axes, known.classes)
    labels = [f"{name} ({total:.0f})" for name, total in zip(known.classes, counts.sum(1), strict=True)]
    axes.set_yticks(range(size), labels)
    axes.set(xlabel="Predicted class", ylabel=f"True class ({items})")
    figure.colorbar(image, ax=axes, label=f"Fraction of the true class{_in_percent(size)}", shrink=0.8)
    return figure


def confusion_panels(parts: Sequence[tuple[str, Scored]]) -> Figure:
    """Confusion matrices of several parts of the items side by side, each under its title; shares of the row.

    Cells hold percent where there are no more than `NUMBERED` classes.
    """
    classes = parts[0][1].classes
    size = len(classes)
    side = max((PANEL_CELL if size <= NUMBERED else BARE_CELL) * size, 1.8)
    figure = _compressed(2.4 + (side + 0.15) * len(parts), 1.2 + side)
    panels = figure.subplots(1, len(parts), squeeze=False, sharey=True)[0]
    images: list[AxesImage] = []
    for axes, (title, known) in zip(panels, parts, strict=True):
        counts = confusion(known, np.ones(len(known.truth))).table
        images.append(_draw_matrix(axes, counts))
        if size <= NUMBERED:
            _write_percent(axes, counts, 6.0)
        _name_classes(axes, classes, 45.0 if size <= NUMBERED else 90.0)
        axes.set_title(title)
    panels[0].set_yticks(range(size), classes)
    panels[0].set_ylabel("True class")
    figure.supxlabel("Predicted class", fontsize="medium")
    percent = ", numbers in %" if size <= NUMBERED else ""
    figure.colorbar(images[0], ax=list(panels), label=f"Fraction of the true class{percent}", shrink=0.8)
    return figure


def _compressed(width: float, height: float) -> Figure:
    """A figure whose square panels stay together and keep the room for their labels."""
    figure = new_figure(width, height)
    figure.set_layout_engine("compressed")
    return figure


def _shares(counts: Float64[np.ndarray, "k k"]) -> Float64[np.ndarray, "k k"]:
    totals = counts.sum(1, keepdims=True)
    return counts / np.where(totals > 0, totals, 1)


def _draw_matrix(axes: Axes, counts: Float64[np.ndarray, "k k"]) -> AxesImage:
    axes.spines[:].set_visible(False)
    return axes.imshow(_shares(counts), cmap=SHADES, vmin=0, vmax=1)


def _name_classes(axes: Axes, classes: Sequence[str], turn: float = 45.0) -> None:
    height = "center" if turn == 90 else "top"
    axes.set_xticks(range(len(classes)), classes, rotation=turn, ha="right", va=height, rotation_mode="anchor")


def _write_counts(axes: Axes, counts: Float64[np.ndarray, "k k"], size: float) -> None:
    share = _shares(counts)
    for row, column in np.argwhere(counts > 0).tolist():
        _write(axes, row, column, f"{share[row, column]:.2f}\n{counts[row, column]:.0f}", share[row, column], size)


def _write_percent(axes: Axes, counts: Float64[np.ndarray, "k k"], size: float) -> None:
    share = _shares(counts)
    for row, column in np.argwhere(share >= 0.01).tolist():
        _write(axes, row, column, f"{100 * share[row, column]:.0f}", share[row, column], size)


def _write(axes: Axes, row: int, column: int, text: str, share: float, size: float) -> None:
    shade = "black" if share > 0.5 else "white"
    axes.text(column, row, text, ha="center", va="center", color=shade, fontsize=size)


def _in_percent(size: int) -> str:
    return "" if size <= COUNTED else ", numbers in %"
