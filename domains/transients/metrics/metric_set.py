"""The metrics that a run reports."""

from collections.abc import Mapping
from functools import partial

from armillary.core.classification.calibration import expected_calibration_error
from armillary.core.classification.confusion import accuracy, efficiency, macro_f1, purity
from armillary.core.classification.log_loss import balanced_log_loss, log_loss
from armillary.core.classification.open_set import open_set_auc
from armillary.core.classification.ranking import average_precision, macro_area, micro_area, roc_area
from armillary.core.classification.scored import define
from armillary.core.domain import Metric, MetricSet
from armillary.domains.transients.metrics.early import balanced_log_loss_at
from armillary.domains.transients.metrics.plasticc import challenge_weights, plasticc_log_loss
from armillary.domains.transients.settings import TransientsRun

IA_NAMES = ("90", "Ia", "SNIa", "SN Ia")


def metrics(config: TransientsRun) -> MetricSet:
    """All metrics of the run's classes; the log loss under the run's prior chooses checkpoints on validation."""
    classes, days = config.data.classes, config.predict.days
    primary = "balanced_log_loss" if config.data.prior == "balanced" else "log_loss"
    return MetricSet((*_losses(classes), *_rates(classes), *_areas(), *_early(days), _open_set()), primary)


def ia_classes(classes: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The classes that stand for type Ia: one of IA_NAMES; without it, all whose name begins like one."""
    exact = tuple(name for name in classes if name in IA_NAMES)
    return exact or tuple(name for name in classes if name.startswith(IA_NAMES))


def _losses(classes: Mapping[str, tuple[str, ...]]) -> tuple[Metric, ...]:
    weighted = partial(plasticc_log_loss, class_weights=challenge_weights(classes))
    return (
        define("balanced_log_loss", balanced_log_loss, "min", "class-balanced log loss", "nat"),
        define("log_loss", log_loss, "min", "log loss, mean over objects", "nat"),
        define("plasticc_log_loss", weighted, "min", "log loss with the PLAsTiCC challenge's class weights", "nat"),
    )


def _rates(classes: Mapping[str, tuple[str, ...]]) -> tuple[Metric, ...]:
    found = (
        define("accuracy", accuracy, "max", "share of right answers"),
        define("macro_f1", macro_f1, "max", "mean over classes of F1"),
        define("calibration_error", expected_calibration_error, "min", "expected calibration error, 15 bins"),
    )
    names = ia_classes(classes)
    if not names:
        return found
    return (
        *found,
        define("ia_purity", partial(purity, names=names), "max", f"share of {'/'.join(names)} calls that are right"),
        define("ia_efficiency", partial(efficiency, names=names), "max", f"share of {'/'.join(names)} that is found"),
    )


def _areas() -> tuple[Metric, ...]:
    return (
        define("roc_auc_macro", partial(macro_area, area=roc_area), "max", "area under ROC, mean over classes"),
        define("roc_auc_micro", partial(micro_area, area=roc_area), "max", "area under ROC, all classes in one"),
        define("pr_auc_macro", partial(macro_area, area=average_precision), "max", "average precision over classes"),
        define("pr_auc_micro", partial(micro_area, area=average_precision), "max", "average precision, all in one"),
    )


def _early(days: tuple[float, ...]) -> tuple[Metric, ...]:
    return tuple(
        define(
            f"balanced_log_loss_{day:g}d",
            partial(balanced_log_loss_at, day=day),
            "min",
            f"class-balanced log loss {day:g} days after the first detection",
            "nat",
        )
        for day in days
    )


def _open_set() -> Metric:
    return define("open_set_auc", open_set_auc, "max", "area under ROC of left-out against known classes")
