"""All figures of a prediction, by name."""

from collections.abc import Iterator, Mapping
from typing import cast

import numpy as np
import xarray as xr
from jaxtyping import Int64
from matplotlib.figure import Figure

from armillary.core.classification.scored import Scored, scored
from armillary.core.domain import Again, Items
from armillary.core.figures.calibration import calibration_figure
from armillary.core.figures.confusion import confusion_figure
from armillary.core.plotting import house_style
from armillary.domains.modulation.figures.accuracy import accuracy_figure, snr_table
from armillary.domains.modulation.figures.capture import capture_figure
from armillary.domains.modulation.figures.choose import choose_frames
from armillary.domains.modulation.figures.confusion import confusion_by_snr
from armillary.domains.modulation.figures.frame import frame_figure
from armillary.domains.modulation.figures.open_set import open_set_figure
from armillary.domains.modulation.items import FrameItems
from armillary.domains.modulation.settings import ModulationRun

CAPTURES = 3  # recordings that are drawn
CAPTIONS = {
    "accuracy_by_snr": "Accuracy against the SNR label of the data set, with 95 % binomial ranges; dashed: a guess.",
    "confusion": "Confusion: share of each true class's frames by predicted class, over all SNR labels.",
    "confusion_by_snr": "Confusion at the low, the middle and the high SNR labels.",
    "calibration": "How often the most probable class is right against its probability, with 95 % intervals; "
    "below, the number of frames in each bin.",
    "open_set": "Open-set score of frames of the known classes and of classes that no one trained on.",
    "frame": "One frame at unit power: constellation, I and Q over time, and spectrum.",
    "spectrogram": "Spectrogram of a recording; below, the predicted class of its windows (hatched: none is named). Of "
    "long recordings evenly spaced segments are drawn, and the share of neighbouring windows that were called so.",
}


def figures(
    config: ModulationRun, prediction: xr.Dataset, items: Items, again: Again | None = None
) -> dict[str, Figure]:
    """Figures over all frames whose class is known, `predict.examples` frames one by one, and recordings.

    Names are "accuracy_by_snr", "confusion", "confusion_by_snr", "calibration", "open_set", "frame_1", ... and, for
    windows of recordings, "spectrogram_1", ...; titles tell which is drawn, labels hold the captions. What the
    prediction cannot tell (no SNR labels, no left-out class) is left out. `again` is not needed.
    """
    drawn: dict[str, Figure] = {}
    with house_style():
        known = scored(prediction)
        if len(known.truth):
            drawn |= _overall(prediction, known)
        if prediction.sizes["item"]:
            drawn |= _single(config, prediction, cast(FrameItems, items))
    for name, figure in drawn.items():
        figure.set_label(CAPTIONS[name if name in CAPTIONS else name.rpartition("_")[0]])
    return drawn


def _overall(prediction: xr.Dataset, known: Scored) -> Mapping[str, Figure]:
    drawn: dict[str, Figure] = {}
    table = snr_table(prediction)
    if table is not None:
        drawn["accuracy_by_snr"] = accuracy_figure(table)
    drawn["confusion"] = confusion_figure(known, "frames")
    panels = None if table is None else confusion_by_snr(table)
    if panels is not None:
        drawn["confusion_by_snr"] = panels
    drawn["calibration"] = calibration_figure(known, "frames")
    if not known.known.all():
        drawn["open_set"] = open_set_figure(prediction)
    return drawn


def _single(config: ModulationRun, prediction: xr.Dataset, items: FrameItems) -> Mapping[str, Figure]:
    # Windows that only gave context to later ones are among the items, yet not in the prediction.
    lead = len(items) - prediction.sizes["item"]
    rate = float(items.frames.sample_rate_hz)
    drawn: dict[str, Figure] = {}
    if "start" in prediction and "source" in prediction:
        for number, places in enumerate(_sources(prediction), 1):
            part = prediction.isel(item=places)
            drawn[f"spectrogram_{number}"] = capture_figure(
                part, lambda some, places=places: items.iq(places[some] + lead)
            )
    chosen = choose_frames(prediction, config.predict.examples)
    for number, index in enumerate(chosen, 1):
        frame = items.iq(np.array([index + lead], np.int64))[0]
        drawn[f"frame_{number}"] = frame_figure(prediction.isel(item=index), frame, rate)
    return drawn


def _sources(prediction: xr.Dataset) -> Iterator[Int64[np.ndarray, " m"]]:
    """Places of the windows of each of the first recordings, in the order of time."""
    source, start = prediction["source"].values, prediction["start"].values
    changes = np.flatnonzero(np.r_[True, source[1:] != source[:-1]])
    for name in list(dict.fromkeys(source[changes].tolist()))[:CAPTURES]:
        places = np.flatnonzero(source == name)
        yield places[np.argsort(start[places], kind="stable")].astype(np.int64)
