"""The README's tables of results, made of the JSON files in benchmarks/results/.

    python benchmarks/results_table.py            print the tables
    python benchmarks/results_table.py --write    put them between their markers in README.md

A cell is a file with the keys cell, machine, command and result, the last being what `armillary evaluate --json`
prints. The table of mixers is that of `armillary compare`, the table of ops is made by benchmarks/ops.py.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from armillary.core.files import atomic_write
from armillary.pipelines.compare_table import quality_rows

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
README = ROOT / "README.md"
MIXERS, OPS = RESULTS / "compare-raw-spcc.json", RESULTS / "ops.json"

Cell = Mapping[str, Any]

_COLUMNS = {
    "transients": {
        "balanced_log_loss": "balanced log loss",
        "log_loss": "log loss",
        "accuracy": "accuracy",
        "roc_auc_macro": "macro ROC-AUC",
        "macro_f1": "macro F1",
    },
    "modulation": {
        "log_loss": "log loss",
        "mean_accuracy": "mean accuracy over SNRs",
        "peak_accuracy": "peak accuracy",
        "macro_f1": "macro F1",
        "kappa": "kappa",
    },
    "speech": {
        "si_sdri": "SI-SDRi [dB]",
        "sdri": "SDRi [dB]",
        "stoi_gain": "gain of STOI",
        "got_worse": "share of voices that got worse",
    },
    "medical": {
        "auroc": "AUROC",
        "accuracy": "accuracy",
        "log_loss": "log loss",
        "dice": "Dice",
        "iou": "IoU",
    },
}
_METHODS = {
    "lightgbm": "LightGBM on features",
    "random_forest": "random forest on features",
    "factorisation": "blind factorisation of spectra",
    "pca_logistic": "principal components, logistic regression",
    "atlas": "mean mask of the training images",
    "brightness": "threshold of brightness",
    "oracle_ratio_mask": "oracle ratio mask (knows the voices)",
}
# The last part of a recipe's name -> the set and where its data come from.
_SURVEYS = {
    "spcc": ("SPCC", "simulated (SNANA)"),
    "plasticc": ("PLAsTiCC", "simulated (SNANA)"),
    "ztf": ("ZTF BTS", "observed"),
    "simulated": ("the demo's survey", "simulated (armillary)"),
    "rml2016a": ("RML2016.10a look-alike", "simulated (GNU Radio)"),
    "satellites": ("satellite recordings", "observed"),
    "small": ("libri2mix_mini", "read speech, mixed"),
    "pneumoniamnist": ("PneumoniaMNIST (half of its test set)", "observed"),
    "cxr14": ("nih_cxr14_mini, 64 pixels", "observed"),
    "bot": ("covid_cxr_structures, lungs", "observed"),
    "chase": ("CHASE_DB1, vessels", "observed"),
    "tasnet": ("libri2mix_mini", "read speech, mixed"),
}
_EMPTY = "No cell is finished yet; `python benchmarks/results_table.py --write` puts the finished ones here."


def load_cells(folder: Path, domain: str = "transients") -> list[Cell]:
    """The finished cells of a domain in a folder, those of one set and setting together."""
    read = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    cells = [found for found in read if isinstance(found, dict) and {"cell", "result"} <= set(found)]
    cells = [
        cell
        for cell in cells
        if _domain(cell) == domain and _COLUMNS[domain].keys() & cell["result"]["metrics"]["model"]
    ]
    return sorted(cells, key=_place)


def render(cells: Sequence[Cell]) -> str:
    """The table in Markdown: one row a method, value [low, high]; the metric that chose the checkpoint is bold."""
    if not cells:
        return _EMPTY
    columns = _COLUMNS[_domain(cells[0])]
    header = ["cell", "data", "items", "method", *(f"{name} {_arrow(metric)}" for metric, name in columns.items())]
    rows = [row for cell in cells for row in _rows(cell)]
    machines = sorted({_machine(cell) for cell in cells})
    notes = [
        "Bold: the metric that chose the checkpoint, not the best value.",
        f"Made with {'; '.join(machines)}. Commands, versions and times: one file a cell in `benchmarks/results/`.",
    ]
    return "\n".join([_markdown([header, *rows]), "", *notes])


def render_mixers(result: Mapping[str, Any]) -> str:
    """The table of a comparison of mixers."""
    seeds = max(len(entry["seeds"]) for entry in result["entries"])
    kind = "simulated data" if result["simulated"] else "observed data"
    measured = next((entry for entry in result["entries"] if entry["machine"]), None)
    note = (
        f"`{result['recipe']}` ({kind}), {result['items']} objects of the {result['split']} split, "
        f"{result['budget']} steps of {result['batch_size']}; mean ± standard deviation over {seeds} seeds."
    )
    if measured:
        note += f" Times: {_machine(measured)}, {measured['threads']} thread(s)."
    return "\n".join([_markdown(quality_rows(result)), "", note])


def render_ops(result: Mapping[str, Any]) -> str:
    """The table of the ops' benchmark: ours and the peer in one run."""
    rows = [["op", "shape", "ours [ms]", "peer [ms]", "ratio", "asked", "error of values, gradients"]]
    for case in result["cases"].values():
        ours = case["seconds"][f"armillary {case['active']}"]["median"]
        shape = " ".join(f"{name}={size}" for name, size in case["shape"].items())
        error = f"{case['error']['worst_output']:.0e}, {_error(case['error'].get('worst_gradient'))}"
        for target in case["targets"]:
            peer = case["seconds"].get(target.get("against"))
            told = "-" if peer is None else f"{target['against']}: {1000 * peer['median']:.3g}"
            reached = "" if target["reached"] else " (not reached)"
            ratio = "-" if target["ratio"] is None else f"{target['ratio']:.3g}{reached}"
            name = f"{case['title']}, {case['pass']}"
            rows.append([name, shape, f"{1000 * ours:.3g}", told, ratio, target["target"], error])
    return _markdown(rows)


def _error(value: float | None) -> str:
    return "-" if value is None else f"{value:.0e}"


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    header, *body = rows
    return "\n".join("| " + " | ".join(line) + " |" for line in (header, ["---"] * len(header), *body))


def insert(text: str, name: str, table: str) -> str:
    """The text with a table between the markers of its name.

    Raises:
        ValueError: the text does not have each marker once, in order.
    """
    first, last = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, begin, rest = text.partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end or first in rest or last in after:
        raise ValueError(f"expected one {first} and then one {last}; put each on a line of its own.")
    return f"{before}{first}\n{table}\n{last}{after}"


def tables() -> dict[str, str]:
    """Every table of the README, by the name of its markers."""
    return {
        "results": render(load_cells(RESULTS)),
        "modulation": render(load_cells(RESULTS, "modulation")),
        "speech": render(load_cells(RESULTS, "speech")),
        "medical": render(load_cells(RESULTS, "medical")),
        "mixers": render_mixers(json.loads(MIXERS.read_text(encoding="utf-8"))),
        "ops": render_ops(json.loads(OPS.read_text(encoding="utf-8"))),
    }


def _place(cell: Cell) -> tuple[int, str, str]:
    """Survey, setting, system: 'raw-spcc-noz' comes beside 't2-spcc-noz'."""
    survey = list(_SURVEYS).index(_survey(cell)) if _survey(cell) in _SURVEYS else len(_SURVEYS)
    return survey, str(cell["cell"]).partition("-")[2], str(cell["cell"])


def _domain(cell: Cell) -> str:
    return str(cell["result"]["recipe"]).partition("/")[0]


def _survey(cell: Cell) -> str:
    return str(cell["result"]["recipe"]).rpartition("/")[2].rpartition("-")[2]


def _rows(cell: Cell) -> Iterator[list[str]]:
    """The model's row, then one a peer that ran in an environment of its own, then one a baseline."""
    result = cell["result"]
    metrics = {**result["metrics"], **{name: peer["metrics"] for name, peer in cell.get("peers", {}).items()}}
    name, kind = _SURVEYS.get(_survey(cell), (_survey(cell), "unknown"))
    recipe = f"`{result['recipe'].rpartition('/')[2]}`"
    # A cell may put another network into a recipe, and tells its name.
    labels = {"model": cell.get("method", recipe), **{name: name for name in cell.get("peers", {})}, **_METHODS}
    for method, label in labels.items():
        if method in metrics:
            found = metrics[method]
            first = [str(cell["cell"]), f"{name}, {kind}", str(result["items"])] if method == "model" else ["", "", ""]
            columns = _COLUMNS[_domain(cell)]
            yield [*first, label, *(_value(found.get(metric), metric == result["primary"]) for metric in columns)]


def _value(estimate: Mapping[str, float | None] | None, bold: bool) -> str:
    if estimate is None or estimate["value"] is None:
        return "-"
    value, low, high = estimate["value"], estimate.get("low"), estimate.get("high")
    shown = f"**{value:.3f}**" if bold else f"{value:.3f}"
    return shown if low is None or high is None else f"{shown} [{low:.3f}, {high:.3f}]"


def _arrow(metric: str) -> str:
    return "↓" if metric.endswith("loss") or metric == "got_worse" else "↑"


def _machine(cell: Cell) -> str:
    machine = cell.get("machine") or {}
    parts = [
        machine.get("gpu"),
        machine.get("processor"),
        f"{machine['cores']} cores" if machine.get("cores") else None,
    ]
    return ", ".join(str(part) for part in parts if part) or "an unnamed machine"


def main() -> None:
    """Print the tables, or put them into the README."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="rewrite the tables in README.md")
    found = tables()
    if not parser.parse_args().write:
        print("\n\n".join(found.values()))
        return
    text = README.read_text(encoding="utf-8")
    for name, table in found.items():
        text = insert(text, name, table)
    with atomic_write(README) as temporary:
        temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
