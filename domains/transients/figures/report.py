"""All figures of a prediction, by name."""

from collections.abc import Mapping
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
from armillary.domains.transients.curve_items import CurveItems
from armillary.domains.transients.figures.curves import precision_recall_figure, roc_figure
from armillary.domains.transients.figures.early import early_figure
from armillary.domains.transients.figures.example import example_figure
from armillary.domains.transients.settings import TransientsRun

CAPTIONS = {
    "confusion": "Confusion: fraction and number of each true class's objects by predicted class.",
    "roc": "True against false positive rate of each class against the others, with the area under the curve.",
    "precision": "Purity against efficiency of each class against the others, with the average precision.",
    "calibration": "How often the most probable class is right against its probability, with 95 % intervals; "
    "below, the number of objects in each bin.",
    "early": "Log loss and accuracy of what was known some days after the first detection, from one causal pass.",
}
OBJECT_CAPTIONS = {
    "raw": "Light curve of one object; below, the probabilities after each observation since its first detection.",
    "t2": "Light curve of one object with its Gaussian process (one standard deviation); below, the activation map.",
}


def figures(
    config: TransientsRun, prediction: xr.Dataset, items: Items, again: Again | None = None
) -> dict[str, Figure]:
    """Figures over all items whose class is known, then `predict.examples` objects one by one.

    Names are "confusion", "roc", "precision_recall", "calibration", "early" (causal systems) and "object_1", ...;
    titles tell which object is drawn, labels hold the captions. `again` brings tracks and activation maps of the
    objects that are drawn, where the prediction was made without.
    """
    drawn: dict[str, Figure] = {}
    with house_style():
        known = scored(prediction)
        if len(known.truth):
            drawn |= _overall(known)
        if len(known.truth) and "early_probability" in prediction:
            drawn["early"] = early_figure(prediction)
        drawn |= _examples(config, prediction, cast(CurveItems, items), again)
    for name, figure in drawn.items():
        figure.set_label(CAPTIONS.get(name.partition("_")[0], OBJECT_CAPTIONS[config.model.kind]))
    return drawn


def _examples(
    config: TransientsRun, prediction: xr.Dataset, items: CurveItems, again: Again | None
) -> Mapping[str, Figure]:
    """The objects that are drawn, with all that can be said of them."""
    chosen = choose_examples(prediction, config.predict.examples)
    if again is not None and len(chosen):
        items = items.select(chosen)
        prediction = again(items, config.predict.model_copy(update={"track": config.model.kind == "raw", "maps": True}))
        chosen = np.arange(len(chosen))
    return {
        f"object_{number}": example_figure(config, prediction, items, int(index))
        for number, index in enumerate(chosen, 1)
    }


def _overall(known: Scored) -> Mapping[str, Figure]:
    return {
        "confusion": confusion_figure(known, "objects"),
        "roc": roc_figure(known),
        "precision_recall": precision_recall_figure(known),
        "calibration": calibration_figure(known, "objects"),
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
