"""ROC curves of labels or classes, with areas and their intervals over patients."""

from functools import partial

import numpy as np
import xarray as xr
from jaxtyping import Float64
from matplotlib.figure import Figure

from armillary.core.bootstrap import Estimate, bootstrap
from armillary.core.classification.ranking import roc_area
from armillary.core.classification.scored import define
from armillary.core.domain import MetricSet
from armillary.core.plotting import GREY, legend_beside, new_figure, series_style
from armillary.domains.medical.metrics.labels import RankedLabel, area_of, judged, rank_labels
from armillary.domains.medical.settings import MedicalRun

MOST = 6  # curves that are drawn
_RESAMPLES = 200


def roc_figure(config: MedicalRun, records: xr.Dataset) -> Figure | None:
    """The curves of the labels with the smallest areas, worst first; of two classes the second's alone.

    None where no label has both positives and negatives.
    """
    found = judged(records)
    ranked = {name: label for name, label in zip(found.labels, rank_labels(found), strict=True) if label is not None}
    if "class" in records.dims and len(found.labels) == 2:
        ranked = dict(list(ranked.items())[1:])
    if not ranked:
        return None
    areas = _areas(config, records, tuple(ranked))
    worst = sorted(ranked, key=lambda name: areas[name].value)[:MOST]
    figure = new_figure(7.6, 3.7)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    for place, name in enumerate(worst):
        told, positives = areas[name], int(found.positive[ranked[name].rows, found.labels.index(name)].sum())
        label = f"{name.replace('_', ' ')}: {told.value:.3f} ({told.low:.3f} to {told.high:.3f}), {positives} positives"
        axes.plot(*curve(ranked[name]), drawstyle="steps-post", label=label, **series_style(place))
    axes.set(xlabel="1 - specificity", ylabel="Sensitivity", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    axes.set_box_aspect(1)
    more = f", the {MOST} lowest of {len(ranked)}" if len(ranked) > MOST else ""
    title = f"AUROC ({100 * config.evaluate.confidence:g} % interval over patients){more}"
    legend_beside(axes, title)
    return figure


def curve(label: RankedLabel) -> tuple[Float64[np.ndarray, " g"], Float64[np.ndarray, " g"]]:
    """(1 - specificity, sensitivity) at every threshold, from (0, 0) to (1, 1)."""
    positives, everyone = label.ranking.counts(np.ones(int(label.rows.max()) + 1)[label.rows])
    hits, alarms = np.cumsum(positives), np.cumsum(everyone - positives)
    return np.append(0.0, alarms / alarms[-1]), np.append(0.0, hits / hits[-1])


def _areas(config: MedicalRun, records: xr.Dataset, names: tuple[str, ...]) -> dict[str, Estimate]:
    metrics = tuple(define(name, partial(area_of, label=name, area=roc_area), "max", "AUROC") for name in names)
    groups = records["group"].values if "group" in records else records["item"].values
    resamples = min(config.evaluate.resamples, _RESAMPLES)
    return bootstrap(MetricSet(metrics, names[0]), records, groups, resamples, config.evaluate.confidence, config.seed)
