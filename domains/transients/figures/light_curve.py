"""A light curve in all its bands."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from armillary.core.plotting import legend_beside
from armillary.domains.transients.figures.bands import band_style
from armillary.domains.transients.lightcurves import LightCurves


@dataclass(frozen=True)
class Process:
    """A Gaussian process's mean and standard deviation [FLUXCAL] at times since the first detection [d]."""

    time: Float[np.ndarray, " t"]
    flux: Float[np.ndarray, "t b"]
    error: Float[np.ndarray, "t b"]


def draw_light_curve(axes: Axes, curves: LightCurves, process: Process | None) -> None:
    """Flux of every band with its error; filled where detected. The process is a line with a band of one deviation."""
    for place, name in enumerate(curves.band):
        rows, style = curves.band_index == place, band_style(name)
        colour = style["color"]
        axes.plot([], [], style["marker"], color=colour, label=name)
        for seen, face in ((True, colour), (False, "white")):
            some = rows & (curves.detected == seen)
            axes.errorbar(
                curves.time[some], curves.flux[some], curves.flux_error[some], fmt=style["marker"], color=colour,
                markerfacecolor=face, elinewidth=0.7, zorder=3,
            )  # fmt: skip
        if process is not None:
            mean, error = process.flux[:, place], process.error[:, place]
            axes.plot(process.time, mean, color=colour, linewidth=1.2)
            axes.fill_between(process.time, mean - error, mean + error, color=colour, alpha=0.18, linewidth=0)
    axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    axes.set_ylabel("Flux [FLUXCAL]")
    axes.set_ylim(*_limits(curves, process))
    legend_beside(axes, "filled: detected")


def _limits(curves: LightCurves, process: Process | None) -> tuple[float, float]:
    """The range of the flux with a margin; a point with a huge error does not set the scale."""
    good = curves.flux_error <= 3 * np.median(curves.flux_error)
    values = [curves.flux[good], np.zeros(1)] + ([] if process is None else [process.flux.ravel()])
    low, high = np.concatenate(values).min(), np.concatenate(values).max()
    margin = 0.08 * max(high - low, float(np.median(curves.flux_error)))
    return float(low - margin), float(high + margin)
