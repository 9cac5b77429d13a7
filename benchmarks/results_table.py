"""The README's table of results, made of the JSON files of finished cells.

    python benchmarks/results_table.py            print the table
    python benchmarks/results_table.py --write    put it between the markers in README.md

A cell is a file in benchmarks/results/ with the keys cell, machine, command and result, the last being what
`armillary evaluate --json` prints. Other files there are passed over.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from armillary.core.files import atomic_write

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
README = ROOT / "README.md"
BEGIN, END = "<!-- results -->", "<!-- /results -->"

Cell = Mapping[str, Any]

_COLUMNS = {
    "balanced_log_loss": "balanced log loss",
    "log_loss": "log loss",
    "accuracy": "accuracy",
    "roc_auc_macro": "macro ROC-AUC",
    "macro_f1": "macro F1",
}
_METHODS = {"lightgbm": "LightGBM on features", "random_forest": "random forest on features"}
# The last part of a recipe's name -> the survey and where its light curves come from.
_SURVEYS = {
    "spcc": ("SPCC", "simulated (SNANA)"),
    "plasticc": ("PLAsTiCC", "simulated (SNANA)"),
    "ztf": ("ZTF BTS", "observed"),
    "simulated": ("the demo's survey", "simulated (armillary)"),
}
_EMPTY = "No cell is finished yet; `python benchmarks/results_table.py --write` puts the finished ones here."


def load_cells(folder: Path) -> list[Cell]:
    """The finished cells of a folder, those of one survey and setting together."""
    read = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    return sorted((found for found in read if isinstance(found, dict) and {"cell", "result"} <= set(found)), key=_place)


def render(cells: Sequence[Cell]) -> str:
    """The table in Markdown: one row a method, value [low, high]; the metric that chose the checkpoint is bold."""
    if not cells:
        return _EMPTY
    header = ["cell", "data", "objects", "method", *(f"{name} {_arrow(metric)}" for metric, name in _COLUMNS.items())]
    rows = [row for cell in cells for row in _rows(cell)]
    lines = [header, ["---"] * len(header), *rows]
    machines = sorted({_machine(cell) for cell in cells})
    notes = [
        "Bold: the metric that chose the checkpoint, not the best value.",
        f"Made with {'; '.join(machines)}. Commands, versions and times: one file a cell in `benchmarks/results/`.",
    ]
    return "\n".join([*("| " + " | ".join(line) + " |" for line in lines), "", *notes])


def insert(text: str, table: str) -> str:
    """The text with the table between its markers.

    Raises:
        ValueError: the text does not have each marker once, in order.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in after:
        raise ValueError(f"expected one {BEGIN} and then one {END}; put each on a line of its own.")
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def _place(cell: Cell) -> tuple[int, str, str]:
    """Survey, setting, system: 'raw-spcc-noz' comes beside 't2-spcc-noz'."""
    survey = list(_SURVEYS).index(_survey(cell)) if _survey(cell) in _SURVEYS else len(_SURVEYS)
    return survey, str(cell["cell"]).partition("-")[2], str(cell["cell"])


def _survey(cell: Cell) -> str:
    return str(cell["result"]["recipe"]).rpartition("/")[2].rpartition("-")[2]


def _rows(cell: Cell) -> Iterator[list[str]]:
    """The model's row, then one a baseline."""
    result = cell["result"]
    name, kind = _SURVEYS.get(_survey(cell), (_survey(cell), "unknown"))
    recipe = f"`{result['recipe'].rpartition('/')[2]}`"
    labels = {"model": recipe, **_METHODS}
    for method, label in labels.items():
        if method in result["metrics"]:
            found = result["metrics"][method]
            first = [str(cell["cell"]), f"{name}, {kind}", str(result["items"])] if method == "model" else ["", "", ""]
            yield [*first, label, *(_value(found.get(metric), metric == result["primary"]) for metric in _COLUMNS)]


def _value(estimate: Mapping[str, float | None] | None, bold: bool) -> str:
    if estimate is None or estimate["value"] is None:
        return "-"
    value, low, high = estimate["value"], estimate.get("low"), estimate.get("high")
    shown = f"**{value:.3f}**" if bold else f"{value:.3f}"
    return shown if low is None or high is None else f"{shown} [{low:.3f}, {high:.3f}]"


def _arrow(metric: str) -> str:
    return "↓" if metric.endswith("loss") else "↑"


def _machine(cell: Cell) -> str:
    machine = cell.get("machine") or {}
    parts = [
        machine.get("gpu"),
        machine.get("processor"),
        f"{machine['cores']} cores" if machine.get("cores") else None,
    ]
    return ", ".join(str(part) for part in parts if part) or "an unnamed machine"


def main() -> None:
    """Print the table, or put it into the README."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="rewrite the table in README.md")
    table = render(load_cells(RESULTS))
    if not parser.parse_args().write:
        print(table)
        return
    text = insert(README.read_text(encoding="utf-8"), table)
    with atomic_write(README) as temporary:
        temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
