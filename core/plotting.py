"""The house look of figures: one palette, one set of sizes, and figures that leave pyplot's global state alone."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito 2008, "Color universal design": told apart with any colour vision. Its yellow is too pale for lines.
BLACK, BLUE, VERMILLION, GREEN = "#000000", "#0072B2", "#D55E00", "#009E73"
PURPLE, ORANGE, SKY = "#CC79A7", "#E69F00", "#56B4E9"
PALETTE = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "--", ":")
GREY = "#6E6E6E"
SHADES = "cividis"  # even steps in lightness with any colour vision

STYLE: dict[str, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.5,
    "lines.markersize": 4,
    "savefig.dpi": 150,
    "svg.fonttype": "none",
}


@contextmanager
def house_style() -> Generator[None, None, None]:
    """Everything drawn inside has the house look; the caller's settings come back afterwards."""
    with mpl.rc_context(cast(Any, STYLE)):
        yield


def new_figure(width: float = 4.8, height: float = 3.6) -> Figure:
    """An empty figure [inch] that fits its labels by itself and belongs to no window."""
    return Figure(figsize=(width, height), layout="constrained")


def series_style(place: int) -> dict[str, Any]:
    """Colour and line of the place-th of many series; colours come round with another line."""
    return {
        "color": PALETTE[place % len(PALETTE)],
        "linestyle": LINES[(place // len(PALETTE)) % len(LINES)],
    }


def legend_beside(axes: Axes, title: str = "") -> None:
    """A legend to the right of the axes, where it hides nothing however long it is."""
    axes.legend(title=title, loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0, alignment="left")
