"""The metrics that a run reports."""

from functools import partial

from armillary.core.classification.calibration import expected_calibration_error
from armillary.core.classification.confusion import accuracy, kappa, macro_f1
from armillary.core.classification.log_loss import log_loss
from armillary.core.classification.open_set import open_set_auc
from armillary.core.classification.scored import define
from armillary.core.domain import Metric, MetricSet
from armillary.domains.modulation.metrics.by_snr import accuracy_at, mean_accuracy, peak_accuracy
from armillary.domains.modulation.metrics.rejection import rejection
from armillary.domains.modulation.settings import ModulationRun


def metrics(config: ModulationRun) -> MetricSet:
    """All metrics of a run; the log loss chooses checkpoints on validation."""
    found = (
        define("log_loss", log_loss, "min", "log loss, mean over frames", "nat"),
        define("mean_accuracy", mean_accuracy, "max", "mean over SNR labels of the accuracy at each"),
        define("peak_accuracy", peak_accuracy, "max", "highest accuracy at one SNR label"),
        define("accuracy", accuracy, "max", "share of right answers"),
        define("macro_f1", macro_f1, "max", "mean over classes of F1"),
        define("kappa", kappa, "max", "Cohen's kappa: agreement beyond chance"),
        define("calibration_error", expected_calibration_error, "min", "expected calibration error, 15 bins"),
        define("open_set_auc", open_set_auc, "max", "area under ROC of left-out against known classes"),
    )
    return MetricSet((*found, *_rejected(config), *_each_snr(config)), "log_loss")


def _each_snr(config: ModulationRun) -> tuple[Metric, ...]:
    low, high = config.data.snr_db or (float("-inf"), float("inf"))
    return tuple(
        define(f"accuracy_{snr:g}dB", partial(accuracy_at, snr_db=snr), "max", f"accuracy at the label {snr:g} dB")
        for snr in config.data.snr_labels
        if low <= snr <= high
    )


def _rejected(config: ModulationRun) -> tuple[Metric, ...]:
    level = config.predict.reject
    if level is None:
        return ()
    told = f"with {level:g} of the known frames rejected on validation"
    return (
        define("known_kept", partial(rejection, level=level, share="known_kept"), "max", f"known frames kept, {told}"),
        define(
            "unknown_rejected", partial(rejection, level=level, share="unknown_rejected"), "max",
            f"frames of no class that are rejected, {told}",
        ),
        define("accuracy_kept", partial(rejection, level=level, share="accuracy_kept"), "max", "accuracy of the kept"),
    )  # fmt: skip
