"""A recording: its spectrogram and, below, the class that was predicted along it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float32, Float64, Int64
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from armillary.core.plotting import SHADES, new_figure
from armillary.domains.modulation.figures.spectra import segment_length, segment_powers
from armillary.domains.modulation.figures.strip import draw_strip, strip_of
from armillary.domains.modulation.figures.units import Axis, decibel, frequency_axis, time_axis

COLUMNS = 800  # of a spectrogram at most
FLOOR_DB = -60.0

Read = Callable[[Int64[np.ndarray, " m"]], Float32[np.ndarray, "m 2 l"]]


@dataclass(frozen=True)
class Columns:
    """Which window each column of a spectrogram reads and where in it; `covered` is false in gaps."""

    window: Int64[np.ndarray, " c"]
    offset: Int64[np.ndarray, " c"]
    covered: Bool[np.ndarray, " c"]


def capture_figure(windows: xr.Dataset, read: Read) -> Figure:
    """Spectrogram of the windows of one source; below it the predicted class of each.

    windows: predictions in the order of `start`, with `window`, `sample_rate_hz`, perhaps `centre_hz` in attrs.
    read: samples of the windows at some places. Only the windows that are drawn are read, however long the capture.
    """
    start, length = windows["start"].values.astype(np.int64), int(windows.attrs["window"])
    rate = float(windows.attrs.get("sample_rate_hz", np.nan))
    first, end = int(start[0]), int(start[-1]) + length
    time = time_axis(rate, end - first)
    strip = strip_of(windows)
    height = 0.4 + 0.17 * max(len(strip.names), 4)
    # Wider than twice the height, so that a report gives it a row of its own.
    figure = new_figure(max(9.0, 2.1 * (2.9 + height)), 2.9 + height)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2.3, height))
    power = spectrogram(start, length, read)
    _draw_spectrogram(figure, upper, power, (first * time.scale, end * time.scale), rate)
    draw_strip(lower, strip, time.scale)
    lower.set(xlabel=time.label, xlim=(first * time.scale, end * time.scale))
    upper.set_title(_title(windows))
    return figure


def spectrogram(start: Int64[np.ndarray, " n"], length: int, read: Read) -> Float64[np.ndarray, "bins c"]:
    """Power over frequency and evenly spaced times; NaN where no window covers the time.

    Each column is the spectrum of one segment; of captures with more segments than `COLUMNS`, some are left out.
    """
    bins = segment_length(length)
    count = int(np.clip(-(-(start[-1] + length - start[0]) // bins), 1, COLUMNS))
    columns = _columns(start, length, count)
    places, row = np.unique(columns.window, return_inverse=True)
    powers = segment_powers(read(places))
    segment = np.minimum(columns.offset // bins, powers.shape[1] - 1)
    found = powers[row.reshape(-1), segment]
    found[~columns.covered] = np.nan
    return found.T


def _columns(start: Int64[np.ndarray, " n"], length: int, count: int) -> Columns:
    centres = start[0] + ((np.arange(count) + 0.5) / count * (start[-1] + length - start[0])).astype(np.int64)
    window = np.maximum(np.searchsorted(start, centres, side="right") - 1, 0).astype(np.int64)
    offset = centres - start[window]
    return Columns(window, offset, offset < length)


def _draw_spectrogram(
    figure: Figure, axes: Axes, power: Float64[np.ndarray, "bins c"], span: tuple[float, float], rate: float
) -> None:
    unit: Axis = frequency_axis(rate)
    reach = 0.5 * unit.scale
    image = axes.imshow(
        decibel(power, FLOOR_DB), origin="lower", aspect="auto", extent=(*span, -reach, reach), cmap=SHADES,
        interpolation="nearest",
    )  # fmt: skip
    axes.set_ylabel(unit.label)
    figure.colorbar(image, ax=axes, label="Power [dB]", pad=0.01)


def _title(windows: xr.Dataset) -> str:
    centre = float(windows.attrs.get("centre_hz", np.nan))
    about = f", centre {centre / 1e6:.6g} MHz" if np.isfinite(centre) else ""
    return f"{windows['source'].values[0]}{about}"
