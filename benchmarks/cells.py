"""Trains and judges the transients systems on real survey files, one JSON a cell; finished cells are skipped.

    ARMILLARY_DATA=<data root> python benchmarks/cells.py [CELL ...] --runs DIR

A cell that was interrupted goes on where it stopped. The table in README.md is made of the JSON files.
"""

import argparse
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from armillary.pipelines import Run, train
from armillary.pipelines.evaluate import evaluate
from armillary.pipelines.folder import describe_machine, plain

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Cell:
    """One line of the table: a recipe with settings, in one or several runs that are judged together."""

    recipe: str
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    folds: int = 1


NO_REDSHIFT = {"data.redshift": "none"}
# The validation split is as biased as the training split, so nothing is calibrated on it.
OFFICIAL = {"data.protocol": "official", "train.epochs": 15, "model.trunk.dropout": 0.3, "model.calibrate": False}
PLAIN = {"data.augment": {"drop": 0.4, "noise": 0.5}}
TO_SURVEY = {
    "data.augment": {"drop": 0.4, "noise": 0.5, "redshift": 0.9, "redshift_range": (0.95, 1.65), "photo_z": 1.0}
}

CELLS = {
    "raw-spcc-photoz": Cell("transients/raw-spcc"),
    "raw-spcc-noz": Cell("transients/raw-spcc", NO_REDSHIFT),
    "t2-spcc-photoz": Cell("transients/t2-spcc"),
    "t2-spcc-noz": Cell("transients/t2-spcc", NO_REDSHIFT),
    "raw-ztf": Cell("transients/raw-ztf", folds=5),
    "t2-ztf": Cell("transients/t2-ztf", folds=5),
    "raw-spcc-official-plain": Cell("transients/raw-spcc", {**OFFICIAL, **PLAIN}),
    "raw-spcc-official-augmented": Cell("transients/raw-spcc", {**OFFICIAL, **TO_SURVEY}),
}


def run_cell(name: str, cell: Cell, runs: Path) -> None:
    """Trains what is missing, evaluates, and writes the JSON of the cell."""
    start = time.time()
    made = [_train(runs / f"{name}-{fold}", cell, fold) for fold in range(cell.folds)]
    result = evaluate(made)
    seconds = [json.loads((run.folder.model / "model.json").read_text())["cpu_seconds"] for run in made]
    sets = " ".join(f"--set '{path}={json.dumps(value)}'" for path, value in cell.settings.items())
    record = {
        "cell": name,
        "machine": describe_machine(),
        "command": f"armillary train {cell.recipe} {sets}".strip(),
        "training_cpu_seconds": seconds,
        "wall_seconds_of_last_call": round(time.time() - start, 1),
        "result": result,
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(plain(record), indent=1) + "\n")


def _train(out: Path, cell: Cell, fold: int) -> Run:
    settings = {**cell.settings, **({"data.fold": fold} if cell.folds > 1 else {})}
    return train(cell.recipe, out=out, set=settings, resume=(out / "config.json").exists())


def main() -> None:
    """Runs the cells that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cells", nargs="*", choices=[*CELLS, []], help="default: all")
    parser.add_argument("--runs", type=Path, default=Path("runs/cells"), help="where the run folders go")
    parser.add_argument("--again", action="store_true", help="judge finished cells again")
    arguments = parser.parse_args()
    for name in arguments.cells or CELLS:
        if arguments.again or not (RESULTS / f"{name}.json").exists():
            print(f"{name} ...", flush=True)
            run_cell(name, CELLS[name], arguments.runs)


if __name__ == "__main__":
    main()
