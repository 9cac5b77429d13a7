"""The card that travels with an exported model: what it is, from what, under which licences, how good, how to call."""

import hashlib
import inspect
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from armillary.core.domain import Lazy
from armillary.pipelines.export_program import Program
from armillary.pipelines.folder import read_json, write_json
from armillary.pipelines.model_card_text import readme, tables

if TYPE_CHECKING:
    from armillary.pipelines.run import Run

CARD = "model_card.json"
MODELS = {"onnx": "model.onnx", "torch": "model.pt2"}
INT8 = "model_int8.onnx"
_SOFTWARE = ("armillary", "torch", "onnx", "onnxscript", "onnxruntime")


def about_run(run: "Run", program: Program, form: str) -> dict[str, Any]:
    """All that is known before the file is written; it goes into the file, too."""
    cards = read_json(run.folder.cards)
    config = run.config.model_dump(mode="json")
    facts = {key: value for key, value in read_json(run.folder.model / "model.json").items() if key != "sha256"}
    return {
        "format": form,
        "recipe": run.config.recipe,
        "domain": run.domain.title,
        "about": _docstring(run),
        "protocol": run.domain.protocol(run.config),
        "classes": _classes(run),
        "inputs": _ports(program, "inputs"),
        "outputs": _ports(program, "outputs"),
        "settings": {part: config[part] for part in ("data", "predict")},
        "training": {"seed": run.config.seed, **facts},
        "evaluation": _evaluations(run),
        "simulated": any(card["simulated"] for card in cards),
        "licence": "; ".join(sorted({card["licence text"] for card in cards})),
        "citation": [text for card in cards for text in card["citation"]],
        "data": cards,
        "software": _versions(),
    }


def write_cards(folder: Path, card: dict[str, Any], form: str) -> None:
    """Writes model_card.json, model_card.md and README.md beside the files, whose digests they tell."""
    names = [MODELS[form], *([INT8] if "int8" in card else [])]
    card["files"] = {name: _file(folder / name) for name in names}
    write_json(folder / CARD, card)
    (folder / "model_card.md").write_text(tables(card), encoding="utf-8")
    (folder / "README.md").write_text(readme(card), encoding="utf-8")


def _file(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _ports(program: Program, side: str) -> dict[str, dict[str, Any]]:
    """Shape, unit and meaning of each tensor; an axis of any length is told by its name."""
    ports, signature = getattr(program.interface, side), program.exported.graph_signature
    names = signature.user_inputs if side == "inputs" else signature.user_outputs
    nodes = {
        node.name: node.meta["val"] for node in program.exported.graph.nodes if isinstance(node.meta.get("val"), Tensor)
    }
    told: dict[str, dict[str, Any]] = {}
    for (name, port), node in zip(ports.items(), names, strict=True):
        value = nodes[node]
        shape = [size if isinstance(size, int) else axis for size, axis in zip(value.shape, port.axes, strict=True)]
        told[name] = {
            "axes": list(port.axes),
            "shape": shape,
            "dtype": str(value.dtype).removeprefix("torch."),
            "unit": port.unit,
            "about": port.about,
        }
        if side == "inputs" and any(axis in program.interface.ragged for axis in port.axes):
            told[name]["padding"] = bool(port.padding) if told[name]["dtype"] == "bool" else port.padding
    return told


def _classes(run: "Run") -> list[str] | None:
    """Names of the classes, in the order of the probabilities, where the domain's settings name them."""
    classes = getattr(run.config.data, "classes", None)
    return None if classes is None else [str(name) for name in classes]


def _docstring(run: "Run") -> str:
    recipe = run.domain.recipes.get(run.config.recipe.partition("/")[2])
    function = recipe.resolve() if isinstance(recipe, Lazy) else recipe
    return inspect.getdoc(function) or "" if function is not None else ""


def _evaluations(run: "Run") -> dict[str, Any]:
    """Metrics of the model with their intervals, of every split that was evaluated."""
    found: dict[str, Any] = {}
    for split in ("test", "validation"):
        path = run.folder.evaluation(split)
        if path.exists():
            result: Mapping[str, Any] = read_json(path)
            kept = {key: result[key] for key in ("items", "primary", "confidence", "runs")}
            found[split] = {**kept, "metrics": result["metrics"]["model"]}
    return found


def _versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in _SOFTWARE:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
