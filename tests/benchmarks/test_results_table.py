"""The README's table says what the JSON of the finished cells say, and nothing else."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def table() -> ModuleType:
    """benchmarks/results_table.py, which belongs to no package."""
    spec = importlib.util.spec_from_file_location("results_table", ROOT / "benchmarks" / "results_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def estimate(value: float | None, low: float | None = None, high: float | None = None) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "direction": "min", "unit": "1"}


def cell(name: str, recipe: str, primary: str = "balanced_log_loss") -> dict[str, Any]:
    """A finished cell with a model and both baselines, as `evaluate --json` prints them."""
    model = {"balanced_log_loss": estimate(0.25, 0.2, 0.3), "log_loss": estimate(0.5), "accuracy": estimate(None)}
    return {
        "cell": name,
        "machine": {"processor": "A processor", "cores": 2, "gpu": None},
        "command": f"armillary train {recipe}",
        "result": {
            "recipe": recipe,
            "items": 7,
            "primary": primary,
            "metrics": {"model": model, "random_forest": {}, "lightgbm": {"macro_f1": estimate(0.75, 0.7, 0.8)}},
        },
    }


def rows(text: str) -> list[list[str]]:
    return [[field.strip() for field in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]


def test_a_row_says_value_and_interval_of_each_method(table: ModuleType):
    header, _, model, lightgbm, forest = rows(table.render([cell("raw-spcc-photoz", "transients/raw-spcc")]))
    assert header[4:] == ["balanced log loss ↓", "log loss ↓", "accuracy ↑", "macro ROC-AUC ↑", "macro F1 ↑"]
    assert model[:4] == ["raw-spcc-photoz", "SPCC, simulated (SNANA)", "7", "`raw-spcc`"]
    assert model[4:] == ["**0.250** [0.200, 0.300]", "0.500", "-", "-", "-"]
    assert lightgbm == ["", "", "", "LightGBM on features", "-", "-", "-", "-", "0.750 [0.700, 0.800]"]
    assert forest[3:] == ["random forest on features", "-", "-", "-", "-", "-"]


@pytest.mark.parametrize(
    ("recipe", "label"),
    [
        ("transients/raw-ztf", "ZTF BTS, observed"),
        ("transients/t2-plasticc", "PLAsTiCC, simulated (SNANA)"),
        ("transients/simulated", "the demo's survey, simulated (armillary)"),
    ],
)
def test_data_that_were_simulated_are_marked(table: ModuleType, recipe: str, label: str):
    assert rows(table.render([cell("x", recipe)]))[2][1] == label


def test_cells_of_one_survey_and_setting_stand_together(table: ModuleType, tmp_path: Path):
    names = {"raw-ztf": "raw-ztf", "raw-spcc-noz": "raw-spcc", "t2-spcc-photoz": "t2-spcc", "t2-spcc-noz": "t2-spcc"}
    for name, recipe in names.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(cell(name, f"transients/{recipe}")))
    (tmp_path / "other.json").write_text('{"question": "How fast?"}')
    found = [one["cell"] for one in table.load_cells(tmp_path)]
    assert found == ["raw-spcc-noz", "t2-spcc-noz", "t2-spcc-photoz", "raw-ztf"]


def test_the_table_replaces_what_stood_between_the_markers(table: ModuleType):
    text = "above\n<!-- results -->\nold\n<!-- /results -->\nbelow\n"
    assert table.insert(text, "results", "new") == "above\n<!-- results -->\nnew\n<!-- /results -->\nbelow\n"
    assert table.insert(table.insert(text, "results", "new"), "results", "new") == table.insert(text, "results", "new")


@pytest.mark.parametrize(
    "text", ["", "<!-- /results --> <!-- results -->", "<!-- results --> <!-- results --> <!-- /results -->"]
)
def test_a_text_without_its_markers_is_refused(table: ModuleType, text: str):
    with pytest.raises(ValueError, match="expected one <!-- results -->"):
        table.insert(text, "results", "new")


def test_an_op_that_misses_its_target_says_so(table: ModuleType):
    target = {"target": "at least 40 times", "against": "peer", "ratio": 20.0, "reached": False}
    case = {
        "title": "scan", "pass": "forward", "shape": {"B": 4}, "active": "native",
        "seconds": {"armillary native": {"median": 0.01}, "peer": {"median": 0.2}},
        "error": {"worst_output": 1e-7, "worst_gradient": None}, "targets": [target],
    }  # fmt: skip
    _, _, row = rows(table.render_ops({"cases": {"scan": case}}))
    assert row == ["scan, forward", "B=4", "10", "peer: 200", "20 (not reached)", "at least 40 times", "1e-07, -"]


def test_the_readme_has_the_tables_of_the_committed_results(table: ModuleType):
    text = wanted = (ROOT / "README.md").read_text(encoding="utf-8")
    for name, content in table.tables().items():
        wanted = table.insert(wanted, name, content)
    assert text == wanted, "results have changed: python benchmarks/results_table.py --write"
