"""`evaluate`: the one reader of the test split; metrics with intervals, baselines beside."""

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from armillary.core.bootstrap import Estimate, bootstrap
from armillary.core.domain import Split
from armillary.core.files import atomic_write
from armillary.pipelines.folder import read_json, write_json
from armillary.pipelines.inference import join, predict_items

if TYPE_CHECKING:
    from armillary.pipelines.run import Run


def evaluate(runs: "Sequence[Run]", split: Split = "test", *, baselines: bool | None = None) -> dict[str, Any]:
    """Metrics of one run, or of the joined predictions of several (the folds of a cross-validation).

    Baselines are fitted on each run's own training split and judged on the same items. The result and the
    predictions are written into the first run's folder.
    """
    first = runs[0]
    wanted = first.config.evaluate.baselines if baselines is None else baselines
    parts: list[dict[str, xr.Dataset]] = []
    seconds: dict[str, float] = {}
    for run in runs:
        parts.append(_records(run, split, wanted, seconds))
    joined = {name: join([part[name] for part in parts]) for name in parts[0]}
    result = {
        "recipe": first.config.recipe,
        "runs": [run.folder.name for run in runs],
        "split": split,
        "items": joined["model"].sizes["item"],
        "simulated": any(card["simulated"] for card in read_json(first.folder.cards)),
        "primary": first.domain.metrics(first.config).primary,
        "confidence": first.config.evaluate.confidence,
        "resamples": first.config.evaluate.resamples,
        "prediction_seconds": round(seconds["model"], 3),
        "metrics": {name: estimates(first, records) for name, records in joined.items()},
    }
    write_json(first.folder.evaluation(split), result)
    path = first.folder.predictions(split)
    with atomic_write(path) as temporary:
        first.domain.write(joined["model"], temporary)
    return result


def estimates(run: "Run", records: xr.Dataset) -> dict[str, dict[str, Any]]:
    """Metric name -> value, low, high, direction, unit."""
    metric_set = run.domain.metrics(run.config)
    settings = run.config.evaluate
    found: Mapping[str, Estimate] = bootstrap(
        metric_set,
        records,
        np.asarray(records["group"].values),
        settings.resamples,
        settings.confidence,
        run.config.seed,
    )
    return {name: vars(estimate) for name, estimate in found.items()}


def _records(run: "Run", split: Split, baselines: bool, seconds: dict[str, float]) -> dict[str, xr.Dataset]:
    items = run.items(split)
    start = time.perf_counter()
    records = {"model": predict_items(run.domain, run.config, run.model, items)}
    seconds["model"] = seconds.get("model", 0.0) + time.perf_counter() - start
    if not baselines:
        return records
    train, validation = run.items("train"), run.items("validation")
    for name, baseline in run.domain.baselines(run.config).items():
        baseline.fit(train, validation)
        records[name] = baseline.predict(items)
    return records


def table_rows(result: Mapping[str, Any]) -> list[list[str]]:
    """Rows for printing: metric, then value and interval of the model and of each baseline."""
    methods = list(result["metrics"])
    rows = [["metric", *methods]]
    for name, estimate in result["metrics"]["model"].items():
        arrow = "lower is better" if estimate["direction"] == "min" else "higher is better"
        rows.append([f"{name} ({arrow})", *(_cell(result["metrics"][method].get(name)) for method in methods)])
    return rows


def _cell(estimate: Mapping[str, Any] | None) -> str:
    if estimate is None or estimate["value"] is None or estimate["value"] != estimate["value"]:
        return "-"
    low, high = estimate["low"], estimate["high"]
    interval = "" if low is None or low != low else f" [{low:.3f}, {high:.3f}]"
    return f"{estimate['value']:.4f}{interval}"
