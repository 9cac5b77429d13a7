"""One frame: constellation, samples over time and spectrum, under what was said of it."""

import numpy as np
import xarray as xr
from jaxtyping import Float32
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from armillary.core.plotting import BLUE, GREY, VERMILLION, new_figure
from armillary.domains.modulation.figures.spectra import frequencies, segment_powers
from armillary.domains.modulation.figures.units import decibel, frequency_axis, time_axis

POINTS = 2048  # of a frame that are drawn; more cannot be told apart
FLOOR_DB = -60.0


def frame_figure(record: xr.Dataset, iq: Float32[np.ndarray, "2 l"], sample_rate_hz: float) -> Figure:
    """The frame at unit power: constellation at the left; I and Q over time and the mean spectrum at the right.

    Of a frame longer than `POINTS` samples the first ones are drawn; the spectrum is that of all.
    """
    power = float(np.square(iq, dtype=np.float64).sum(0).mean())
    iq = (iq / np.sqrt(power if power > 0 else 1.0)).astype(np.float32)
    figure = new_figure(7.8, 3.6)
    grid = figure.add_gridspec(2, 2, width_ratios=(1, 1.4))
    _draw_constellation(figure.add_subplot(grid[:, 0]), iq[:, :POINTS])
    _draw_rails(figure.add_subplot(grid[0, 1]), iq[:, :POINTS], sample_rate_hz)
    _draw_spectrum(figure.add_subplot(grid[1, 1]), iq, sample_rate_hz)
    figure.align_ylabels(figure.axes[1:])
    figure.suptitle(frame_title(record), x=0.01, ha="left", fontsize="medium")
    return figure


def frame_title(record: xr.Dataset) -> str:
    """Name, most probable class with its probability, and what is known: the true class and the SNR label."""
    names = [str(name) for name in record["class"].values]
    probability = record["probability"].values
    best, truth = int(probability.argmax()), int(record["truth"])
    told = f"{record['item'].item()}: predicted {names[best]} ({probability[best]:.2f})"
    if truth >= 0:
        told += f", true class {names[truth]}"
    if "snr_db" in record and np.isfinite(record["snr_db"].item()):
        told += f", label {record['snr_db'].item():g} dB".replace("-", "\N{MINUS SIGN}")
    return told


def _draw_constellation(axes: Axes, iq: Float32[np.ndarray, "2 p"]) -> None:
    axes.plot(iq[0], iq[1], "-", color=GREY, linewidth=0.5, alpha=0.5)
    axes.plot(iq[0], iq[1], "o", color=BLUE, markersize=3, alpha=0.8, markeredgewidth=0)
    reach = 1.1 * max(float(np.abs(iq).max(initial=0.0)), 1e-6)
    axes.set(xlabel="I (unit power)", ylabel="Q (unit power)", xlim=(-reach, reach), ylim=(-reach, reach))
    axes.set_aspect("equal")
    axes.axhline(0, color=GREY, linewidth=0.4)
    axes.axvline(0, color=GREY, linewidth=0.4)


def _draw_rails(axes: Axes, iq: Float32[np.ndarray, "2 p"], sample_rate_hz: float) -> None:
    unit = time_axis(sample_rate_hz, iq.shape[1])
    time = np.arange(iq.shape[1]) * unit.scale
    axes.plot(time, iq[0], "-", color=BLUE, linewidth=1, label="I")
    axes.plot(time, iq[1], "--", color=VERMILLION, linewidth=1, label="Q")
    axes.set(xlabel=unit.label, ylabel="Amplitude", xlim=(0, max(float(time[-1]), unit.scale)))
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.05), handlelength=1.4)


def _draw_spectrum(axes: Axes, iq: Float32[np.ndarray, "2 l"], sample_rate_hz: float) -> None:
    power = segment_powers(iq).mean(0)
    unit = frequency_axis(sample_rate_hz)
    across = frequencies(len(power)) * unit.scale
    axes.plot(across, decibel(power, FLOOR_DB), color=BLUE, linewidth=1)
    axes.set(xlabel=unit.label, ylabel="Power [dB]", xlim=(across[0], across[-1]))
