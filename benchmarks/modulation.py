"""Trains and judges the modulation systems, one JSON a cell; finished cells are skipped, interrupted ones go on.

    ARMILLARY_DATA=<data root> python benchmarks/modulation.py [CELL ...] --runs DIR

The frames are those of rml2016a_regen (made with GNU Radio, so simulated) unless the cell says otherwise. The cells of
one budget get the same processor time on one thread. A student's cell needs the run of its teacher, which it makes.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from cell_list import RESULTS, cell_parser, unfinished

from armillary.pipelines import Run, train
from armillary.pipelines.evaluate import evaluate
from armillary.pipelines.folder import describe_machine, plain

REGEN = {"data.card": "rml2016a_regen", "train.threads": 1, "train.device": "cpu"}
BUDGET = {**REGEN, "train.cpu_seconds": 1200.0, "train.epochs": 2000}
PLAIN = {
    "data.augment.rotate": False, "data.augment.conjugate": False, "data.augment.reverse": False,
    "data.augment.noise": 0.0,
}  # fmt: skip
GENERATED = {
    **REGEN, **PLAIN, "data.generator": {"train_per_key": 240, "validation_per_key": 20}, "train.epochs": 50
}  # fmt: skip
STUDENT = {**REGEN, "train.epochs": 40}


@dataclass(frozen=True)
class Cell:
    """A recipe with settings; `teacher` names the cell whose run teaches; None: alone."""

    recipe: str
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    seeds: int = 1
    teacher: str | None = None


CELLS = {
    # The cosine ends within the budget: 60 epochs take about 1,000 s.
    "modulation-clst": Cell("modulation/clst-rml2016a", {**BUDGET, "train.epochs": 60}),
    "modulation-mcldnn": Cell("modulation/mcldnn-rml2016a", BUDGET),
    "modulation-pet-cgdnn": Cell("modulation/pet-cgdnn-rml2016a", BUDGET),
    "modulation-ssm": Cell("modulation/ssm-rml2016a", {**BUDGET, "train.epochs": 60}),
    "modulation-clst-generated": Cell("modulation/clst-rml2016a", GENERATED),
    "modulation-kd-cnn": Cell("modulation/kd-cnn-rml2016a", STUDENT, 3, "modulation-clst"),
    "modulation-kd-cnn-alone": Cell("modulation/kd-cnn-rml2016a", {**STUDENT, "distill": None}, 3),
    "modulation-kd-mobilenet": Cell("modulation/kd-mobilenet-rml2016a", STUDENT, 3, "modulation-clst"),
    "modulation-kd-mobilenet-alone": Cell("modulation/kd-mobilenet-rml2016a", {**STUDENT, "distill": None}, 3),
    "modulation-satellites": Cell("modulation/satellites", {"train.threads": 1, "train.device": "cpu"}),
}
_TOLD = ("mean_accuracy", "peak_accuracy", "log_loss", "macro_f1", "kappa", "accuracy")


def run_cell(name: str, runs: Path) -> None:
    """Trains what is missing, evaluates, and writes the JSON of the cell; baselines beside the first seed."""
    cell, start = CELLS[name], time.time()
    made = [_train(name, seed, runs) for seed in range(cell.seeds)]
    results = [evaluate([run], baselines=seed == 0 and cell.seeds == 1) for seed, run in enumerate(made)]
    sets = " ".join(
        f"--set '{path}={json.dumps(value)}'" for path, value in _settings(name, Path("runs/modulation")).items()
    )
    record = {
        "cell": name,
        "machine": describe_machine(),
        "command": f"armillary train {cell.recipe} {sets}".strip(),
        "training": [json.loads((run.folder.model / "model.json").read_text()) for run in made],
        "wall_seconds_of_last_call": round(time.time() - start, 1),
        "seeds": [{metric: result["metrics"]["model"][metric]["value"] for metric in _TOLD} for result in results],
        "result": results[0],
        **({"recordings": votes(made[0])} if name == "modulation-satellites" else {}),
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(plain(record), indent=1) + "\n")


def votes(run: Run) -> dict[str, Any]:
    """Recordings named right by the mean log probability of their frames.

    The simulated audio was designed with a look at every second recording in the order of names; the others, held
    back, were not looked at.
    """
    with xr.open_dataset(run.folder.predictions("test")) as records:
        probability, truth = records["probability"].to_numpy(), records["truth"].to_numpy()
        group, classes = records["group"].to_numpy().astype(str), records["class"].to_numpy().astype(str)
    right: list[bool] = []
    wrong: dict[str, str] = {}
    for name in (names := np.unique(group)):
        rows = group == name
        voted = int(np.log(probability[rows] + 1e-9).mean(0).argmax())
        right.append(voted == int(truth[rows][0]))
        if not right[-1]:
            wrong[str(name)] = f"{classes[truth[rows][0]]} named {classes[voted]}"
    told = np.array(right)
    return {
        "looked at": f"{told[::2].sum()} of {len(told[::2])}",
        "held back": f"{told[1::2].sum()} of {len(told[1::2])}",
        "recordings": len(names),
        "wrong": wrong,
    }


def _settings(name: str, runs: Path) -> dict[str, Any]:
    cell = CELLS[name]
    taught = {} if cell.teacher is None else {"distill.run": str(runs / f"{cell.teacher}-0")}
    return {**cell.settings, **taught}


def _train(name: str, seed: int, runs: Path) -> Run:
    cell, out = CELLS[name], runs / f"{name}-{seed}"
    if cell.teacher is not None:
        _train(cell.teacher, 0, runs)
    return train(
        cell.recipe, out=out, seed=seed, set=_settings(name, runs), resume=(out / "config.json").exists()
    )  # fmt: skip


def main() -> None:
    """Runs the cells that are named, or all."""
    parser = cell_parser(__doc__, CELLS, "runs/modulation")
    arguments = parser.parse_args()
    for name in unfinished(arguments, CELLS):
        run_cell(name, arguments.runs)


if __name__ == "__main__":
    main()
