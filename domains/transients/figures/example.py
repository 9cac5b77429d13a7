"""One object: its light curve and, beneath, what the system made of it."""

from dataclasses import replace

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from armillary.core.plotting import new_figure
from armillary.domains.transients.curve_items import CurveItems
from armillary.domains.transients.features.padded import first_detection
from armillary.domains.transients.figures.evolution import draw_activation, draw_track
from armillary.domains.transients.figures.light_curve import Process, draw_light_curve
from armillary.domains.transients.lightcurves import LightCurves
from armillary.domains.transients.settings import TransientsRun
from armillary.domains.transients.t2.preparation import Window, sample_times, trim

TIME = "Time since first detection [d]"


def example_figure(config: TransientsRun, prediction: xr.Dataset, items: CurveItems, index: int) -> Figure:
    """The light curve of item `index`; beneath it the probability track or the class activation map, if any."""
    record = prediction.isel(item=index)
    curves, process = _light_curve(config, items, index)
    track = _track(prediction, index)
    lower = track is not None or (process is not None and "activation_map" in record)
    figure = new_figure(6.2, 5.0 if lower else 3.2)
    panels = figure.subplots(2 if lower else 1, 1, sharex=True, squeeze=False, height_ratios=(3, 2) if lower else (1,))
    draw_light_curve(panels[0, 0], curves, process)
    panels[0, 0].set_title(_title(record))
    if track is not None:
        draw_track(panels[1, 0], *track, tuple(items.class_names))
    elif lower and process is not None:
        draw_activation(figure, panels[1, 0], process.time, record["activation_map"])
    panels[-1, 0].set_xlabel(TIME)
    return figure


def _light_curve(config: TransientsRun, items: CurveItems, index: int) -> tuple[LightCurves, Process | None]:
    """The object's observations, as the system saw them, and its Gaussian process where it has one."""
    curves = items.curves.select([index])
    item = items[(0, index)]
    if "gp_flux" not in item:
        return _since_detection(trim(curves, Window(config.data.days_before, np.inf))), None
    kept = trim(curves, Window(config.data.days_before, config.data.days_after))
    flux, error = np.asarray(item["gp_flux"]), np.asarray(item["gp_error"])
    time = sample_times(kept, len(flux))[0] - first_detection(kept)[0]
    return _since_detection(kept), Process(time, flux, error)


def _since_detection(curves: LightCurves) -> LightCurves:
    """The same light curves with times counted from each object's first detection."""
    return replace(curves, time=curves.time - np.repeat(first_detection(curves), curves.row_size))


def _track(prediction: xr.Dataset, index: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Times [d] and probabilities (t, k) of one item: after every observation, else on the days that were asked for."""
    if "track_probability" in prediction:
        ends = np.cumsum(prediction["track_row_size"].values)
        rows = slice(int(ends[index] - prediction["track_row_size"].values[index]), int(ends[index]))
        tracks = prediction["track_probability"].transpose("observation", "class")
        return prediction["track_time"].values[rows], tracks.values[rows]
    if "early_probability" in prediction:
        early = prediction["early_probability"].isel(item=index).transpose("day", "class")
        return prediction["day"].values, early.values
    return None


def _title(record: xr.Dataset) -> str:
    """The object's name, its most probable class and, where known, the true one."""
    names = [str(name) for name in record["class"].values]
    probability = record["probability"].values
    best = int(probability.argmax())
    truth = int(record["truth"])
    known = f", true class {names[truth]}" if truth >= 0 else ""
    return f"{record['item'].item()}: {names[best]} ({probability[best]:.2f}){known}"
