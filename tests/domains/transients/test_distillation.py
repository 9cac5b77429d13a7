"""Every system's scores can teach: what its probabilities are made of, and a student of another size."""

from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from armillary.core.domain import Scorer
from armillary.domains.transients import DOMAIN
from armillary.pipelines import train

TINY = {
    "model.trunk.depth": 1,
    "train.steps": 2,
    "train.batch_size": 16,
    "optim.warmup_steps": 0,
    "train.device": "cpu",
    "evaluate.baselines": False,
}


@pytest.mark.parametrize("name", DOMAIN.recipes)
def test_before_calibration_the_probabilities_are_those_of_the_scores(name: str):
    config = DOMAIN.recipes[name]()
    model = DOMAIN.build(config).eval()
    batch = {
        key: torch.rand_like(value) + 0.1 if value.is_floating_point() else value
        for key, value in DOMAIN.example_batch(config, 3).items()
    }
    assert isinstance(model, Scorer)
    with torch.no_grad():
        scores = model.logits(batch)
        (output,) = model.predict(batch, config.predict)
    assert scores.shape == (3, len(config.data.classes))
    assert_close(scores.softmax(-1), output["probability"])


def test_a_student_learns_from_a_larger_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ARMILLARY_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ARMILLARY_DATA", raising=False)
    DOMAIN.simulate("simulated_lsst", tmp_path / "cache" / "data", 0, "twin")
    teacher = train("transients/simulated", out=tmp_path / "teacher", quiet=True, set=TINY)
    taught = {**TINY, "model.trunk.width": 16, "distill": {"run": str(teacher.folder.path), "share": 0.9}}
    student = train("transients/simulated", out=tmp_path / "student", quiet=True, set=taught)
    alone = train("transients/simulated", out=tmp_path / "alone", quiet=True, set={**taught, "distill": None})
    weights = [run.model.head.classify.weight for run in (student, alone)]
    assert weights[0].shape == weights[1].shape
    assert not torch.equal(*weights)
