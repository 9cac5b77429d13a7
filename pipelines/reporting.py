"""From finished runs to the input of the report: reads the run folder, draws the figures, counts the cost."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from armillary.core.cost import describe
from armillary.core.domain import SPLITS, Items, Lazy
from armillary.core.errors import RunError
from armillary.pipelines.folder import read_json
from armillary.pipelines.inference import predict_items
from armillary.pipelines.report import Interval, ReportData, ReportInput, ReportMetric, write_report
from armillary.pipelines.report_figures import ReportFigure
from armillary.pipelines.report_joint import report_figures, stored_prediction, with_joint_figures
from armillary.pipelines.report_sounds import SoundGroup, report_sounds
from armillary.pipelines.run import Run


def report_runs(runs: Sequence[Run], out: Path) -> Path:
    """One HTML file about evaluated runs.

    Raises:
        RunError: a run has not been evaluated.
    """
    return write_report(with_joint_figures(runs, [report_input(run) for run in runs]), out)


def report_input(run: Run) -> ReportInput:
    """Everything that the report says about one run."""
    path = run.folder.evaluation("test")
    if not path.exists():
        raise RunError(f"{path}: not evaluated yet. Run: armillary evaluate {run.folder.path}")
    result = read_json(path)
    recipe: Any = run.domain.recipes[run.config.recipe.partition("/")[2]]
    text = ((recipe.resolve() if isinstance(recipe, Lazy) else recipe).__doc__ or "").strip()
    metrics = _metrics(result)
    return ReportInput(
        title=run.domain.title,
        question=" ".join(text.split()),
        recipe=run.config.recipe,
        data=tuple(_data(run)),
        protocol=_protocol(run, result),
        metrics=metrics,
        intervals=f"{100 * result['confidence']:.0f} % bootstrap over groups, {result['resamples']} resamples",
        figures=_figures(run),
        sounds=_sounds(run),
        cost=_cost(run, result),
        curve=_curve(run),
        environment={key: _shown(value) for key, value in read_json(run.folder.environment).items() if value},
        commands=_commands(run),
        warnings=tuple(_warnings(run)),
    )


def _metrics(result: Mapping[str, Any]) -> tuple[ReportMetric, ...]:
    rows: list[ReportMetric] = []
    for name, model in result["metrics"]["model"].items():
        values = {
            method: Interval(found[name]["value"], found[name]["low"], found[name]["high"])
            for method, found in result["metrics"].items()
            if name in found
        }
        if any(interval.value is not None for interval in values.values()):
            rows.append(ReportMetric(name, model["direction"], values, model["unit"], name == result["primary"]))
    return tuple(rows)


def _data(run: Run) -> list[ReportData]:
    counts = {split: len(run.items(split)) for split in SPLITS}
    return [
        ReportData(
            card["title"],
            card["licence text"],
            tuple(card["citation"]),
            card["simulated"],
            {} if card.get("read_by") else counts,
        )
        for card in read_json(run.folder.cards)
    ]


def _protocol(run: Run, result: Mapping[str, Any]) -> str:
    facts = read_json(run.folder.model / "model.json")
    groups = {str(card.group_key) for card in _cards(run)}
    taught = ""
    if run.config.start is not None:
        start = read_json(run.folder.start)
        taught = (
            f" Started from {start['run']} ({start['recipe']}): {start['copied']} tensors taken, "
            f"{len(start['new'])} new."
        )
    if run.config.distill is not None:
        teacher, settings = read_json(run.folder.distill), run.config.distill
        taught += (
            f" Taught by {teacher['run']} ({teacher['recipe']}) at temperature {settings.temperature:g}, whose scores "
            f"have a share of {settings.share:g} in the loss."
        )
    return (
        f"{run.domain.protocol(run.config)} Split by {' and '.join(sorted(groups))}: none is in two splits. Scalers "
        f"are fitted on the training split; the checkpoint (step {facts['step']}) and a calibration, where the model "
        f"has one, are chosen on the validation split by {result['primary']}; the test split is read once, here. "
        f"Baselines see the same training split.{taught}"
    )


def _cards(run: Run) -> list[Any]:
    from armillary.pipelines.locate import domain_cards

    return domain_cards(run.domain, run.config)


def _figures(run: Run) -> tuple[ReportFigure, ...]:
    figures = run.draw(stored_prediction(run), run.items("test"))
    run.folder.figures.mkdir(exist_ok=True)
    for name, figure in figures.items():
        figure.savefig(run.folder.figures / f"{name}.png", dpi=150)
    return report_figures(figures)


def _sounds(run: Run) -> tuple[SoundGroup, ...]:
    if run.domain.sounds is None:
        return ()

    def again(some: Items, options: Any) -> xr.Dataset:
        config = run.config.model_copy(update={"predict": options})
        return predict_items(run.domain, config, run.model, some)

    return report_sounds(run.domain.sounds(run.config, stored_prediction(run), run.items("test"), again))


def _cost(run: Run, result: Mapping[str, Any]) -> dict[str, str]:
    facts = read_json(run.folder.model / "model.json")
    counted = describe(lambda: run.domain.build(run.config), run.domain.example_batch(run.config, 1))
    speed = result["items"] / max(result["prediction_seconds"], 1e-9)
    return {
        "parameters": f"{counted.parameters:,}",
        "multiply-adds an item": f"{counted.mac:,.0f} MAC (one forward pass, counted by formula)",
        "training": f"{facts['cpu_seconds']:,.0f} CPU seconds",
        "prediction": f"{speed:,.0f} items a second ({result['items']} items in {result['prediction_seconds']:.2f} s)",
    }


def _curve(run: Run) -> list[Mapping[str, Any]]:
    lines = run.folder.metrics.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def _commands(run: Run) -> tuple[str, ...]:
    """Commands that give the same numbers: the recipe with every value that is not its own."""
    saved = read_json(run.folder.config)["origins"]
    from armillary.pipelines.config import value_at

    sets = [f"--set '{path}={json.dumps(value_at(run.config, path))}'" for path in saved]
    return (
        " ".join(["armillary train", run.config.recipe, *sets, f"--out {run.folder.name}"]),
        f"armillary evaluate {run.folder.name}",
        f"armillary report {run.folder.name}",
    )


def _warnings(run: Run) -> list[str]:
    found = [
        f"{card['title']}: simulated data; nothing in this report was measured."
        for card in read_json(run.folder.cards)
        if card["simulated"]
    ]
    left_out = sum(len(run.items(split).problems) for split in SPLITS)
    return found + ([f"{left_out} items were left out; the reasons stand in the log."] if left_out else [])


def _shown(value: Any) -> str:
    return ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
