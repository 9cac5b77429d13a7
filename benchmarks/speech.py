"""Trains and judges separators on real voices at one budget of processor time, one JSON a cell.

    ARMILLARY_DATA=<data root> python benchmarks/speech.py [CELL ...] --runs DIR

Voices are those of librispeech_mini, mixed anew in every epoch; validation and test are the lists of libri2mix_mini,
with readers that training never hears. One thread; 720 processor seconds a cell, as many as the rates of learning
were made for. Finished cells are skipped, interrupted ones go on. The finished ones are drawn in
docs/figures/speech-budget.png.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cell_list import RESULTS, cell_parser, unfinished
from matplotlib.figure import Figure

from armillary.pipelines import Run, train
from armillary.pipelines.evaluate import evaluate
from armillary.pipelines.folder import describe_machine, plain

ROOT = Path(__file__).parents[1]
FIGURE = ROOT / "docs" / "figures" / "speech-budget.png"
SECONDS = 720.0
COMMON = {"data.card": "libri2mix_mini", "train.threads": 1, "train.device": "cpu", "train.patience": None}
# 1.3 M parameters; Adam as published, with the segments and batches of the separator that it stands beside.
TASNET = {
    "kind": "conv_tasnet", "bottleneck": 96, "hidden": 192, "skip": 96, "blocks": 7, "repeats": 3,
    "filterbank": {"kind": "learned", "filters": 256, "kernel": 16, "stride": 8, "relu": False},
}  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """A recipe with settings; `steps` are those that the budget pays for, so that the rate of learning ends with it."""

    recipe: str
    steps: int
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])


CELLS = {
    "speech-small": Cell("speech/small", 3200),
    "speech-conv-tasnet": Cell(
        "speech/conv-tasnet", 560, {"model": TASNET, "data.segment_s": 2.0, "data.dynamic": {"mixtures": 400}}
    ),
}
_TOLD = ("si_sdri", "si_sdr", "sdri", "stoi_gain", "got_worse")


def run_cell(name: str, runs: Path) -> None:
    """Trains what is missing, evaluates, and writes the JSON of the cell."""
    cell, start = CELLS[name], time.time()
    settings = {**COMMON, "train.steps": cell.steps, "train.cpu_seconds": 1.2 * SECONDS, **cell.settings}
    out = runs / name
    run = train(cell.recipe, out=out, set=settings, resume=(out / "config.json").exists())
    result = evaluate([run])
    sets = " ".join(f"--set '{path}={json.dumps(value)}'" for path, value in settings.items())
    training = json.loads((run.folder.model / "model.json").read_text())
    record = {
        "cell": name,
        "machine": describe_machine(),
        "command": f"armillary train {cell.recipe} {sets}",
        "training": training,
        "curve": curve(run, training["cpu_seconds"], cell.steps),
        "wall_seconds_of_last_call": round(time.time() - start, 1),
        "result": result,
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(plain(record), indent=1) + "\n")


def curve(run: Run, cpu_seconds: float, steps: int) -> list[dict[str, float]]:
    """SI-SDRi [dB] on the validation split after so much processor time [s], taken as proportional to the steps."""
    rows = [json.loads(line) for line in run.folder.metrics.read_text().splitlines()]
    return [
        {"cpu_seconds": cpu_seconds * row["step"] / steps, "si_sdri": row["validation si_sdri"]}
        for row in rows
        if "validation si_sdri" in row
    ]


def draw() -> None:
    """SI-SDRi on the validation split against processor time, and on the test split with its interval at the end."""
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    styles = {"speech-small": ("#0072B2", "o", "-"), "speech-conv-tasnet": ("#D55E00", "s", "--")}
    for name, (colour, marker, line) in styles.items():
        path = RESULTS / f"{name}.json"
        if not path.exists():
            continue
        record = json.loads(path.read_text())
        points = record["curve"]
        label = f"{name.removeprefix('speech-')}, {record['training']['parameters'] / 1e6:.2f} M parameters"
        axes.plot(
            [point["cpu_seconds"] for point in points], [point["si_sdri"] for point in points],
            color=colour, marker=marker, linestyle=line, markersize=4, label=f"{label}: validation",
        )  # fmt: skip
        test = record["result"]["metrics"]["model"]["si_sdri"]
        low, high = test["value"] - test["low"], test["high"] - test["value"]
        axes.errorbar(
            record["training"]["cpu_seconds"] * 1.02, test["value"], [[low], [high]],
            color=colour, marker=marker, markerfacecolor="white", capsize=3, linestyle="none", label="test, 95 % range",
        )  # fmt: skip
    axes.set_xlabel("Processor time of training [s], one thread")
    axes.set_ylabel("SI-SDR improvement [dB]")
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", fontsize=8)
    figure.savefig(FIGURE, dpi=150)


def main() -> None:
    """Runs the cells that are named, or all, and draws the figure."""
    parser = cell_parser(__doc__, CELLS, "runs/speech")
    arguments = parser.parse_args()
    for name in unfinished(arguments, CELLS):
        run_cell(name, arguments.runs)
    draw()


if __name__ == "__main__":
    main()
