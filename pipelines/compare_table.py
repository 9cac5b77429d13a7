"""The results of a comparison: one table as plain data, as rows to print, and as a figure."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from armillary.core.domain import MetricSet
from armillary.pipelines.compare_figure import draw_quality
from armillary.pipelines.config import recipe_config
from armillary.pipelines.folder import read_json, write_json
from armillary.pipelines.plugins import load_domain


def summarise(
    out: Path, plan: Mapping[str, Any], described: Mapping[str, Mapping[str, Any]], left_out: Mapping[str, str]
) -> dict[str, Any]:
    """Everything that is finished in a comparison's folder, written to compare.json and compare.png."""
    config = recipe_config(plan["recipe"])
    metrics: MetricSet = load_domain(config.domain).metrics(config)
    cells = [read_json(path) for path in sorted((out / "runs").glob("*.json"))]
    entries = [_entry(out, name, facts, cells, metrics) for name, facts in described.items()]
    baselines = out / "baselines.json"
    result = {
        **plan,
        "metric": metrics.primary,
        "direction": metrics[metrics.primary].direction,
        "simulated": any(cell["simulated"] for cell in cells),
        "items": next((cell["items"] for cell in cells), 0),
        "batch_size": config.train.batch_size,
        "entries": sorted(entries, key=lambda entry: _order(entry, metrics)),
        "baselines": read_json(baselines) if baselines.exists() else {},
        "left_out": dict(left_out),
    }
    write_json(out / "compare.json", result)
    figure = draw_quality(result)
    if figure is not None:
        figure.savefig(out / "compare.png", dpi=150)
    return result


def _entry(
    out: Path, name: str, facts: Mapping[str, Any], cells: Sequence[Mapping[str, Any]], metrics: MetricSet
) -> dict[str, Any]:
    own = sorted((cell for cell in cells if cell["mixer"] == name), key=lambda cell: cell["seed"])
    quality = {metric.name: _spread(own, metric.name) for metric in metrics.metrics}
    measured = out / "costs" / f"{facts['slug']}.json"
    cost = read_json(measured) if measured.exists() else {}
    return {
        "mixer": name,
        "settings": facts["settings"],
        "seeds": [cell["seed"] for cell in own],
        "quality": quality,
        "parameters": facts["parameters"],
        "mac_per_item": facts["mac"],
        "training_cpu_seconds": [cell["cpu_seconds"] for cell in own],
        "best_steps": [cell["best step"] for cell in own],
        **{key: cost.get(key) for key in ("step_seconds", "items_per_second", "peak_bytes", "threads")},
        "machine": cost.get("machine"),
    }


def _spread(cells: Sequence[Mapping[str, Any]], metric: str) -> dict[str, Any]:
    """Mean over seeds and the seeds' standard deviation (None below two)."""
    values = [cell["metrics"][metric]["value"] for cell in cells]
    known = [value for value in values if value is not None]
    return {
        "values": values,
        "mean": statistics.fmean(known) if known else None,
        "sd": statistics.stdev(known) if len(known) > 1 else None,
    }


def _order(entry: Mapping[str, Any], metrics: MetricSet) -> float:
    mean = entry["quality"][metrics.primary]["mean"]
    return float("inf") if mean is None else mean if metrics[metrics.primary].direction == "min" else -mean


def quality_rows(result: Mapping[str, Any]) -> list[list[str]]:
    """A header, and a row for each contestant and baseline, best first."""
    metric = result["metric"]
    better = "lower" if result["direction"] == "min" else "higher"
    rows = [
        ["mixer", f"{metric} ({better} is better)", "seeds", "parameters", "MAC an item", "step [ms]", "items/s",
         "peak [MiB]"]
    ]  # fmt: skip
    for entry in result["entries"]:
        rows.append([entry["mixer"], _spread_text(entry["quality"][metric]), str(len(entry["seeds"])), *_costs(entry)])
    for name, found in result["baselines"].items():
        value = found.get(metric)
        if value and value["value"] is not None:
            rows.append([f"{name} (baseline)", f"{value['value']:.4f}", "", "", "", "", "", ""])
    return rows


def _spread_text(spread: Mapping[str, Any]) -> str:
    if spread["mean"] is None:
        return "-"
    return f"{spread['mean']:.4f}" + ("" if spread["sd"] is None else f" ± {spread['sd']:.4f}")


def _costs(entry: Mapping[str, Any]) -> list[str]:
    step, items, peak = entry["step_seconds"], entry["items_per_second"], entry["peak_bytes"]
    return [
        f"{entry['parameters']:,}",
        f"{entry['mac_per_item']:.3g}",
        "-" if step is None else f"{1000 * step:.1f}",
        "-" if items is None else f"{items:,.0f}",
        "-" if peak is None else f"{peak / 2**20:,.0f}",
    ]


def growth_rows(result: Mapping[str, Any]) -> list[list[str]]:
    """A header, and a row for each mixer and length."""
    rows = [["mixer", "tokens", "forward [ms]", "forward and backward [ms]", "peak [MiB]", "mixer MAC"]]
    for row in result["rows"]:
        head = [row["mixer"], f"{row['length']:,}"]
        if "skipped" in row:
            rows.append([*head, row["skipped"], "", "", ""])
            continue
        times = [f"{1000 * row[key]:.1f}" for key in ("forward_seconds", "both_seconds")]
        rows.append([*head, *times, f"{row['peak_bytes'] / 2**20:,.0f}", f"{row['mac']:.3g}"])
    return rows
