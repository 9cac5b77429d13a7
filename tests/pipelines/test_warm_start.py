"""A run starts from the weights of a finished one: what is taken, recorded and refused, and exact resuming."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from armillary.core.errors import ConfigError, RunError
from armillary.pipelines import Run, train
from armillary.pipelines.checkpoints import load_weights
from armillary.pipelines.reporting import report_input

# A step of nothing: the weights of a run are those it started with.
STILL = {"optim.lr": 1e-30, "optim.weight_decay": 0.0, "train.steps": 1}


@pytest.fixture
def first(toy: Path) -> Path:
    """A finished run."""
    return train("toy/simulated", out=toy / "first", quiet=True, set={"train.epochs": 1, "seed": 3}).folder.path


def started(out: Path, start: dict[str, Any] | None, **settings: Any) -> Run:
    """A run that starts from another."""
    return train("toy/simulated", out=out, quiet=True, set={"train.epochs": 1, "start": start, **settings})


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_weights(run / "model" / "weights.safetensors")


def test_a_run_starts_with_the_weights_of_the_other(first: Path, toy: Path):
    other = weights(started(toy / "run", {"run": "first"}, **STILL).folder.path)
    alone = weights(started(toy / "alone", None, **STILL).folder.path)
    learned = [name for name in other if "weight" in name]
    assert learned
    for name in learned:
        torch.testing.assert_close(other[name], weights(first)[name])
        assert not torch.equal(alone[name], weights(first)[name])


def test_what_is_left_out_starts_anew(first: Path, toy: Path):
    names = [name for name in weights(first) if "weight" in name]
    last = names[-1].rpartition(".")[0]
    other = weights(started(toy / "run", {"run": "first", "leave": (last,)}, **STILL).folder.path)
    alone = weights(started(toy / "alone", None, **STILL).folder.path)
    torch.testing.assert_close(other[names[-1]], alone[names[-1]])
    torch.testing.assert_close(other[names[0]], weights(first)[names[0]])
    told = json.loads((toy / "run" / "start.json").read_text())
    assert told["copied"] == len(other) - len(told["new"])
    assert set(told["new"]) == set(told["left"]) == {name for name in other if name.startswith(last)}


def test_the_run_records_where_it_started_and_the_report_says_so(first: Path, toy: Path):
    run = started(toy / "run", {"run": "first"})
    told = json.loads((toy / "run" / "start.json").read_text())
    digest = json.loads((first / "model" / "model.json").read_text())["sha256"]
    assert told == {
        "run": "first", "recipe": "toy/simulated", "sha256": digest,
        "copied": len(weights(first)), "new": [], "left": [],
    }  # fmt: skip
    assert not (first / "start.json").exists()
    run.evaluate()
    protocol = report_input(run).protocol
    assert f"Started from first (toy/simulated): {told['copied']} tensors taken, 0 new." in protocol


def test_the_licences_of_its_data_travel_along(first: Path, toy: Path):
    own = json.loads((first / "cards.json").read_text())
    (first / "cards.json").write_text(json.dumps([*own, {**own[0], "id": "older"}]))
    records = json.loads(started(toy / "run", {"run": "first"}).folder.cards.read_text())
    assert [(card["id"], card.get("read_by")) for card in records] == [("waves", None), ("older", "start")]


def test_another_shape_is_refused_with_what_to_leave_out(first: Path, toy: Path):
    with pytest.raises(
        RunError, match=r"(?s)start\.run=first: .* has the shape .*, this run's .*--set 'start\.leave=\["
    ):
        started(toy / "run", {"run": "first"}, **{"model.width": 5})
    assert not (toy / "run").exists()


def test_a_run_with_nothing_in_common_is_refused(first: Path, toy: Path):
    with pytest.raises(RunError, match="has no weights in common with this run"):
        started(toy / "run", {"run": "first", "leave": ("",)})
    assert not (toy / "run").exists()


def test_without_a_run_the_command_that_makes_one_is_named(toy: Path):
    with pytest.raises(ConfigError) as caught:
        started(toy / "run", {"recipe": "toy/simulated"})
    assert str(caught.value) == (
        "toy/simulated: start.run is not set; it names the folder of a finished run, the start.\n"
        "  Make one with `armillary train toy/simulated --out runs/toy-simulated`, then add "
        "--set start.run=runs/toy-simulated. To train without a start, --set start=null."
    )


def test_a_start_that_was_trained_on_what_judges_the_run_is_refused(first: Path, toy: Path):
    with pytest.raises(RunError, match=r"start\.run=first: 40 groups of this run's validation split trained the start"):
        started(toy / "run", {"run": "first"}, **{"data.fold": 2})
    assert not (toy / "run").exists()


def test_a_stopped_run_goes_on_exactly_also_when_its_start_has_moved(first: Path, toy: Path):
    straight = started(toy / "straight", {"run": "first"}, **{"train.epochs": 2})
    halted = started(toy / "halted", {"run": "first"}, **{"train.epochs": 2})
    # As a run that was killed after its first checkpoint.
    shutil.rmtree(halted.folder.model)
    newest = sorted(halted.folder.checkpoints.glob("step-*"))
    for checkpoint in newest[1:]:
        shutil.rmtree(checkpoint)
    first.rename(toy / "moved")
    again = {"out": toy / "halted", "resume": True, "quiet": True}
    with pytest.raises(RunError, match="first: no such folder"):
        train("toy/simulated", **again)
    train("toy/simulated", **again, set={"start.run": "moved"})
    for name, value in weights(straight.folder.path).items():
        assert torch.equal(weights(halted.folder.path)[name], value)


def test_another_start_on_resume_is_refused(first: Path, toy: Path):
    run = started(toy / "run", {"run": "first"})
    shutil.rmtree(run.folder.model)
    train("toy/simulated", out=toy / "other", quiet=True, set={"train.epochs": 1, "seed": 4})
    with pytest.raises(RunError, match=r"start\.run=other: its weights .*began with .* of first\."):
        train("toy/simulated", out=toy / "run", resume=True, quiet=True, set={"start.run": "other"})
