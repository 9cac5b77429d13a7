"""Validation during training leaves out what chooses nothing; the final judgement does not."""

import json
from pathlib import Path

from armillary.pipelines import train
from armillary.pipelines.evaluate import evaluate


def test_checkpoints_are_chosen_under_the_quick_configuration(toy: Path) -> None:
    run = train("toy/simulated", out=toy / "run", quiet=True, set={"predict.doubt": True, "train.epochs": 2})
    rows = [json.loads(line) for line in run.folder.metrics.read_text(encoding="utf-8").splitlines()]
    assert all("validation log_loss" in row and "validation doubt" not in row for row in rows)
    assert "doubt" in evaluate([run], baselines=False)["metrics"]["model"]


def test_the_quick_configuration_changes_no_weight(toy: Path) -> None:
    weights = [
        train("toy/simulated", out=toy / name, quiet=True, set={"predict.doubt": doubt, "train.epochs": 2})
        .model.state_dict()["layers.0.weight"]
        .tolist()
        for name, doubt in (("with", True), ("without", False))
    ]
    assert weights[0] == weights[1]
