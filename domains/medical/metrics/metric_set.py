"""The metrics that a run reports."""

import re
from functools import partial

from armillary.core.classification.calibration import expected_calibration_error
from armillary.core.classification.confusion import accuracy, macro_f1
from armillary.core.classification.log_loss import log_loss as class_log_loss
from armillary.core.classification.ranking import average_precision, roc_area
from armillary.core.classification.scored import define
from armillary.core.domain import Metric, MetricSet
from armillary.domains.medical.metrics.decisions import decided
from armillary.domains.medical.metrics.labels import area_of, calibration_error, labels_judged, log_loss, mean_area
from armillary.domains.medical.metrics.masks import mean_score
from armillary.domains.medical.metrics.pretrain import error_share, mean_error
from armillary.domains.medical.metrics.subgroups import AGES, SEXES, VIEWS, Subgroup, subgroup_auroc
from armillary.domains.medical.settings import MedicalRun


def metrics(config: MedicalRun) -> MetricSet:
    """All metrics of the run's task.

    The log loss chooses checkpoints of classifiers, not AUROC: a validation split of some tens of images has labels
    with one positive or none, whose areas jump from 0 to 1 or are not defined, while every known label tells a loss.
    """
    if config.data.task == "labels":
        return MetricSet((*_of_labels(), *_each_label(config), *_subgroups(config)), "log_loss")
    if config.data.task == "classes":
        each = _each_label(config) if len(config.data.names) > 2 else ()
        return MetricSet((*_of_classes(), *each, *_subgroups(config)), "log_loss")
    if config.data.task == "masks":
        return MetricSet(_of_masks(config), "dice")
    return MetricSet(_of_pretraining(), "masked_error")


def slug(name: str) -> str:
    """A label's name as part of a metric's: every run of characters other than letters and digits is one '_'."""
    return re.sub(r"\W+", "_", name).strip("_")


def _of_labels() -> tuple[Metric, ...]:
    return (
        define("log_loss", log_loss, "min", "binary cross entropy, mean over known labels", "nat"),
        _auroc(),
        define("labels_judged", labels_judged, "max", "labels with positives and negatives: auroc is over them"),
        _pr_auc(),
        define("accuracy", partial(decided, share="accuracy"), "max", "right at the threshold, mean over labels"),
        define("sensitivity", partial(decided, share="sensitivity"), "max", "positives found at the threshold"),
        define("specificity", partial(decided, share="specificity"), "max", "negatives left alone at the threshold"),
        define("calibration_error", calibration_error, "min", "expected calibration error, 15 bins, mean over labels"),
    )


def _of_classes() -> tuple[Metric, ...]:
    return (
        define("log_loss", class_log_loss, "min", "log loss, mean over images", "nat"),
        _auroc(),
        _pr_auc(),
        define("accuracy", accuracy, "max", "share of images whose likeliest class is the true one"),
        define("macro_f1", macro_f1, "max", "mean over classes of F1"),
        define("calibration_error", expected_calibration_error, "min", "expected calibration error, 15 bins"),
    )


def _auroc() -> Metric:
    return define("auroc", partial(mean_area, area=roc_area), "max", "area under ROC, mean over labels")


def _pr_auc() -> Metric:
    return define("pr_auc", partial(mean_area, area=average_precision), "max", "average precision, mean over labels")


def _each_label(config: MedicalRun) -> tuple[Metric, ...]:
    return tuple(
        define(f"auroc_{slug(name)}", partial(area_of, label=name, area=roc_area), "max", f"area under ROC of {name}")
        for name in config.data.names
    )


def _subgroups(config: MedicalRun) -> tuple[Metric, ...]:
    views = tuple(Subgroup(slug(view), "view", view) for view in config.data.views or VIEWS)
    taken = {slug(name) for name in config.data.names}
    return tuple(
        define(
            f"auroc_{group.variable}_{group.name}" if group.name in taken else f"auroc_{group.name}",
            partial(subgroup_auroc, group=group),
            "max",
            f"area under ROC, mean over labels, where {group.variable} is {group.name.replace('_', ' ')}",
        )
        for group in (*SEXES, *AGES, *views)
    )


def _of_masks(config: MedicalRun) -> tuple[Metric, ...]:
    found = [
        define("dice", partial(mean_score, name="dice"), "max", "Dice overlap, mean over structures"),
        define("iou", partial(mean_score, name="iou"), "max", "intersection over union, mean over structures"),
    ]
    for name in config.data.names:
        told = slug(name)
        found += [
            define(f"dice_{told}", partial(mean_score, name="dice", structure=name), "max", f"Dice overlap of {name}"),
            define(f"iou_{told}", partial(mean_score, name="iou", structure=name), "max", f"overlap of {name}"),
        ]
    for name in config.data.names:
        told = slug(name)
        about = f"95 % of the distances between the outlines of {name} are below"
        found += [
            define(
                f"hd95_{told}", partial(mean_score, name="hd95", structure=name, unit="mm"), "min",
                f"{about}; images of known pixel spacing", "mm",
            ),
            define(
                f"hd95_px_{told}", partial(mean_score, name="hd95", structure=name, unit="px"), "min",
                f"{about}; images of unknown pixel spacing", "px",
            ),
        ]  # fmt: skip
    return tuple(found)


def _of_pretraining() -> tuple[Metric, ...]:
    return (
        define("masked_error", partial(mean_error, name="masked_error"), "min", "squared error of hidden patches"),
        define("mean_error", partial(mean_error, name="mean_error"), "min", "that of the mean of what is visible"),
        define("error_share", error_share, "min", "the first over the second: below 1 something was learned"),
    )
