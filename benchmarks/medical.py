"""Trains and judges medical systems on real images at small budgets of processor time, one JSON a cell.

    ARMILLARY_DATA=<data root> python benchmarks/medical.py [CELL ...] --runs DIR

One thread. Cells that stand beside each other read the same split with the same changes of the images, and have one
budget: `pneumonia` beside timm's ResNet-18 (in an environment of its own: --peers PYTHON, see
peers/medical_classifier.py), `chase` and `lungs` beside MONAI's BasicUNet, `cxr14-pretrained` (half of its budget on
the masked auto-encoder) beside `cxr14-alone`. Finished cells are skipped, interrupted ones go on. Not for diagnosis.
"""

import json
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from cell_list import RESULTS, cell_parser, unfinished

from armillary.core.bootstrap import bootstrap
from armillary.pipelines import Run, train
from armillary.pipelines.evaluate import evaluate
from armillary.pipelines.folder import describe_machine, plain

ROOT = Path(__file__).parents[1]
PEER = ROOT / "benchmarks" / "peers" / "medical_classifier.py"
ONE_THREAD = {"train.threads": 1, "train.device": "cpu", "train.patience": None}
MINI = {"data.card": "nih_cxr14_mini", "data.size": (64, 64), "data.channels": 1}
SMALL_VIT = {"patch": 8, "width": 128, "depth": 6, "heads": 4}
UNET = {"model": {"kind": "unet"}}
# 22 images to learn from: strong changes of them, and a small network with batch norms.
LUNGS = {
    "optim.algorithm": "muon", "optim.lr": 4e-3, "optim.warmup_steps": 20, "optim.average_decay": 0.99,
    "data.augment.rotate_deg": 15.0, "data.augment.scale": 0.25, "data.augment.brightness": 0.4,
    "data.augment.contrast": 0.4, "train.batch_size": 4, "train.validate_every": 10,
}  # fmt: skip
SMALL_UMAMBA = {
    "model.widths": (16, 32, 64, 128, 128), "model.blocks": (1, 1, 1, 1, 1), "model.norm": "batch",
}  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """A recipe with settings and a budget; `start` is a cell whose run this one goes on from.

    steps: those that the budget of processor time [s] pays for, so that the rate of learning ends with it.
    """

    recipe: str
    cpu_seconds: float
    steps: int
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    start: str | None = None


CELLS = {
    "medical-pneumonia": Cell("medical/pneumoniamnist", 150, 740),
    "medical-chase": Cell("medical/chase", 600, 1500),
    "medical-chase-unet": Cell("medical/chase", 600, 800, UNET),
    "medical-lungs": Cell("medical/u-mamba-bot", 400, 500, {**LUNGS, **SMALL_UMAMBA}),
    "medical-lungs-unet": Cell("medical/u-mamba-bot", 400, 300, {**LUNGS, **UNET}),
    "medical-cxr14-mae": Cell(
        "medical/mae-pretrain-vit-s", 300, 500,
        {**MINI, "model": {"kind": "mae", "encoder": SMALL_VIT, "decoder_width": 64, "decoder_depth": 1,
                           "decoder_heads": 4, "ratio": 0.75},
         "optim.lr": 1e-3, "optim.warmup_steps": 50, "train.batch_size": 64},
    ),
    "medical-cxr14-pretrained": Cell("medical/vit-s-cxr14", 300, 500, {}, start="medical-cxr14-mae"),
    "medical-cxr14-alone": Cell("medical/vit-s-cxr14", 600, 1000, {"start": None}),
}  # fmt: skip
FINE_TUNE = {
    **MINI, "model": {"kind": "vit", **SMALL_VIT, "drop_path": 0.1, "layer_decay": 0.75},
    "optim.lr": 1e-3, "optim.warmup_steps": 50, "train.batch_size": 64, "data.augment.magnitude": 0.0,
}  # fmt: skip


def run_cell(name: str, runs: Path, peers: str | None) -> None:
    """Trains what is missing, evaluates, and writes the JSON of the cell."""
    cell = CELLS[name]
    settings = {**ONE_THREAD, "train.cpu_seconds": 1.2 * cell.cpu_seconds, "train.steps": cell.steps}
    settings |= FINE_TUNE if cell.recipe == "medical/vit-s-cxr14" else {}
    settings |= cell.settings
    if cell.start is not None:
        settings["start"] = {"run": str(runs / cell.start)}
    out = runs / name
    run = train(cell.recipe, out=out, set=settings, resume=(out / "config.json").exists())
    told = " ".join(f"--set '{path}={json.dumps(value)}'" for path, value in settings.items() if path != "start")
    record = {
        "cell": name,
        "machine": describe_machine(),
        "command": f"armillary train {cell.recipe} {told}" + (f" (starts from {cell.start})" if cell.start else ""),
        "training": json.loads((run.folder.model / "model.json").read_text()),
        "result": evaluate([run]),
    }
    if peers is not None and name == "medical-pneumonia":
        record["peers"] = {"timm ResNet-18": resnet18(run, peers, cell.cpu_seconds)}
    if run.config.data.patch is not None:
        record["dice of whole images"] = whole_images(run)
    if run.config.model.kind == "unet":
        record["method"] = "MONAI's BasicUNet"
    (RESULTS / f"{name}.json").write_text(json.dumps(plain(record), indent=1) + "\n")


def whole_images(run: Run) -> list[float]:
    """Dice of each test image, first structure, where the network reads it whole instead of in windows."""
    items = run.items("test")
    found: list[float] = []
    with torch.no_grad():
        for index in range(len(items)):
            batch = items.collate([items[(0, index)]])
            # Without its extents a batch is not cut into windows.
            del batch["shape"]
            found += next(run.model.predict(batch, run.config.predict))["dice"][:, 0].tolist()  # pyright: ignore[reportCallIssue]
    return found


def resnet18(run: Run, python: str, cpu_seconds: float) -> dict[str, Any]:
    """timm's ResNet-18 on the images that our network saw, for as much processor time; judged by the same metrics."""
    taught, validation, test = (run.items(split) for split in ("train", "validation", "test"))
    epochs = range(1, 41)
    with tempfile.TemporaryDirectory() as work:
        given, answers = Path(work) / "given.npz", Path(work) / "answers.npz"
        np.savez(
            given,
            train=np.stack([_images(taught, epoch) for epoch in epochs]), train_target=_targets(taught),
            validation=_images(validation, 0), validation_target=_targets(validation), test=_images(test, 0),
        )  # fmt: skip
        command = [python, str(PEER), str(given), str(answers), str(cpu_seconds)]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        probability = np.load(answers)["probability"]
    records = xr.load_dataset(run.folder.path / "predictions" / "test.nc")
    records["probability"] = (records["probability"].dims, probability.astype(np.float32))
    found = bootstrap(run.domain.metrics(run.config), records, records["group"].values, 1000, 0.95, run.config.seed)
    return {"peer": json.loads(told.splitlines()[-1]), "metrics": {name: vars(value) for name, value in found.items()}}


def _images(items: Any, epoch: int) -> np.ndarray:
    pictures = [items[(epoch, index)]["image"] for index in range(len(items))]
    return np.round(255 * np.clip(np.stack(pictures), 0, 1)).astype(np.uint8)


def _targets(items: Any) -> np.ndarray:
    return np.stack([items[(0, index)]["target"] for index in range(len(items))]).argmax(1)


def main() -> None:
    """Runs the cells that are named, or all."""
    parser = cell_parser(__doc__, CELLS, "runs/medical")
    parser.add_argument("--peers", help="python of an environment with timm")
    arguments = parser.parse_args()
    for name in unfinished(arguments, CELLS):
        run_cell(name, arguments.runs, arguments.peers)


if __name__ == "__main__":
    main()
