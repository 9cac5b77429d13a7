"""All figures of a prediction, by name."""

from collections.abc import Mapping
from typing import cast

import numpy as np
import xarray as xr
from jaxtyping import Int64
from matplotlib.figure import Figure

from armillary.core.domain import Items
from armillary.core.plotting import house_style
from armillary.domains.transients.curve_items import CurveItems
from armillary.domains.transients.figures.calibration import calibration_figure
from armillary.domains.transients.figures.confusion import confusion_figure
from armillary.domains.transients.figures.curves import precision_recall_figure, roc_figure
from armillary.domains.transients.figures.early import early_figure
from armillary.domains.transients.figures.example import example_figure
from armillary.domains.transients.metrics.scored import Scored, scored
from armillary.domains.transients.settings import TransientsRun


def figures(config: TransientsRun, prediction: xr.Dataset, items: Items) -> dict[str, Figure]:
    """Figures over all items whose class is known, then `predict.examples` objects one by one.

    Names are "confusion", "roc", "precision_recall", "calibration", "early" (causal systems) and "object_1", ...;
    titles tell which object is drawn.
    """
    drawn: dict[str, Figure] = {}
    with house_style():
        known = scored(prediction)
        if len(known.truth):
            drawn |= _overall(known)
        if len(known.truth) and "early_probability" in prediction:
            drawn["early"] = early_figure(prediction)
        for number, index in enumerate(choose_examples(prediction, config.predict.examples), 1):
            drawn[f"object_{number}"] = example_figure(config, prediction, cast(CurveItems, items), int(index))
    return drawn


def _overall(known: Scored) -> Mapping[str, Figure]:
    return {
        "confusion": confusion_figure(known),
        "roc": roc_figure(known),
        "precision_recall": precision_recall_figure(known),
        "calibration": calibration_figure(known),
    }


def choose_examples(prediction: xr.Dataset, number: int) -> Int64[np.ndarray, " chosen"]:
    """Places of the items to draw: of each class in turn one that is right, then one that is wrong, and so on.

    Items without a known class come last.
    """
    truth = prediction["truth"].values
    right = prediction["probability"].transpose("item", "class").values.argmax(1) == truth
    ranks = np.zeros(len(truth), np.int64)
    for kind in np.unique(truth):
        for outcome, first in ((True, 0), (False, 1)):
            members = np.flatnonzero((truth == kind) & (right == outcome))
            ranks[members] = first + 2 * np.arange(len(members))
    unknown = truth < 0
    return np.lexsort((truth, ranks, unknown))[:number].astype(np.int64)
