"""All figures of a prediction, by name."""

from collections.abc import Mapping

import xarray as xr
from matplotlib.figure import Figure

from armillary.core.classification.scored import scored
from armillary.core.domain import Again, Items
from armillary.core.figures.calibration import calibration_figure
from armillary.core.figures.confusion import confusion_figure
from armillary.core.plotting import house_style
from armillary.domains.medical.figures.overlays import dice_figure, overlay_figure, worst_masks
from armillary.domains.medical.figures.pictures import put_notice
from armillary.domains.medical.figures.pretraining import chosen_images, errors_figure, reconstruction_figure
from armillary.domains.medical.figures.reliability import reliability_figure
from armillary.domains.medical.figures.roc import roc_figure
from armillary.domains.medical.figures.worst import maps_figure, worst_figure, worst_items
from armillary.domains.medical.metrics.labels import judged
from armillary.domains.medical.notice import NOTICE
from armillary.domains.medical.settings import MedicalRun

CAPTIONS = {
    "roc": "ROC curves, the lowest areas first; labels without positives or without negatives have none.",
    "reliability": "How often a label is there against the probability it was given, all labels together; below, the "
    "number of pairs of image and label.",
    "calibration": "How often the most probable class is right against its probability, with 95 % intervals; below, "
    "the number of images.",
    "confusion": "Confusion: share of each true class's images by predicted class.",
    "worst_cases": "The images with the highest loss, from the highest: what is true, and the probability of it being "
    "there. Names of images and patients are left out.",
    "maps": "The same images, and where the network looked for the label that costs most. A map shows what the "
    "probability depends on, which need not be where a finding is.",
    "overlays": "True and predicted masks, the lowest Dice first. Thin structures are filled: white is what both have.",
    "dice": "Dice of every image by structure; boxes are quartiles, whiskers the range.",
    "errors": "Squared error of hidden patches of each image, against that of saying the mean of the visible pixels.",
    "reconstructions": "Images, what was left visible of them, and what the network filled in, from the largest error "
    "to the smallest.",
}
Drawn = dict[str, Figure | None]


def figures(
    config: MedicalRun, prediction: xr.Dataset, items: Items, again: Again | None = None
) -> Mapping[str, Figure]:
    """Figures of the run's task; labels hold the captions, and each figure says that it is not for diagnosis.

    labels: "roc", "reliability", "worst_cases" and, with `again`, "maps"; classes: "calibration" and, of more than two,
    "confusion" instead of "reliability". masks: "overlays" (without `again` of the truth alone), "dice". pretrain:
    "errors" and, with `again`, "reconstructions". What the prediction cannot tell is left out.
    """
    if not prediction.sizes.get("item", 0):
        return {}
    with house_style():
        if "masked_error" in prediction:
            drawn = _of_pretraining(config, prediction, items, again)
        elif "dice" in prediction:
            drawn = _of_masks(config, prediction, items, again)
        elif "target" in prediction:
            drawn = _of_labels(config, prediction, items, again)
        else:
            drawn = {}
        found = {name: figure for name, figure in drawn.items() if figure is not None}
        for name, figure in found.items():
            put_notice(figure)
            figure.set_label(f"{CAPTIONS[name]} {NOTICE}")
    return found


def _of_labels(config: MedicalRun, records: xr.Dataset, items: Items, again: Again | None) -> Drawn:
    found = judged(records)
    drawn: Drawn = {"roc": roc_figure(config, records)}
    if "class" not in records.dims:
        drawn["reliability"] = reliability_figure(found)
    elif (records["truth"].values >= 0).any():
        known = scored(records)
        drawn["calibration"] = calibration_figure(known, "images")
        if len(found.labels) > 2:
            drawn["confusion"] = confusion_figure(known, "images")
    places = worst_items(found, config.predict.examples)
    if len(places):
        drawn["worst_cases"] = worst_figure(items, found, places, "class" in records.dims)
        if again is not None:
            drawn["maps"] = maps_figure(config, items, found, places, again)
    return drawn


def _of_masks(config: MedicalRun, records: xr.Dataset, items: Items, again: Again | None) -> Drawn:
    places = worst_masks(records, config.predict.examples)
    if not len(places):
        return {}
    return {"overlays": overlay_figure(config, records, items, places, again), "dice": dice_figure(records)}


def _of_pretraining(config: MedicalRun, records: xr.Dataset, items: Items, again: Again | None) -> Drawn:
    drawn: Drawn = {"errors": errors_figure(records)}
    if again is not None:
        places = chosen_images(records, config.predict.examples)
        drawn["reconstructions"] = reconstruction_figure(config, items, places, again)
    return drawn
