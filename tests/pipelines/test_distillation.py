"""A finished run teaches another: the loss, what is recorded, what is refused, and exact resuming."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from armillary.core.config import DistillSettings, RunConfig
from armillary.core.errors import ConfigError, RunError
from armillary.core.objectives.distillation import feature_loss, soft_loss
from armillary.pipelines import Run, train
from armillary.pipelines.checkpoints import load_weights
from armillary.pipelines.config import recipe_config
from armillary.pipelines.distillation import find_teacher
from armillary.pipelines.lesson import Lesson, make_lesson
from armillary.pipelines.module import TrainingModule
from armillary.pipelines.plugins import load_domain
from armillary.pipelines.sources import with_cards_of

TEACHER = {"model.width": 24, "train.epochs": 2}
PLAIN = {"data.noise": 0.0, "model.dropout": 0.0}


@pytest.fixture
def teacher(toy: Path) -> Path:
    """A finished run."""
    return train("toy/simulated", out=toy / "teacher", quiet=True, set=TEACHER).folder.path


def student(out: Path, distill: dict[str, Any] | None, **settings: Any) -> Run:
    """A run of one epoch that learns from another."""
    chosen = {"model.width": 4, "train.epochs": 1, "distill": distill, **settings}
    return train("toy/simulated", out=out, quiet=True, set=chosen)


def weights(run: Path) -> dict[str, bytes]:
    """The final weights as bytes."""
    return {k: v.numpy().tobytes() for k, v in load_weights(run / "model" / "weights.safetensors").items()}


def lesson_of(teacher: Path, **settings: Any) -> tuple[Lesson, nn.Module, dict[str, Any], RunConfig]:
    """A lesson, the student it is for, a batch, and the configuration."""
    wanted = DistillSettings(run=str(teacher), **settings)
    config = recipe_config("toy/simulated").model_copy(update={"distill": wanted})
    items = Run.load(teacher).items("train")
    model = load_domain("toy").build(config).eval()
    found = find_teacher(config, None)
    assert found is not None
    return make_lesson(found, model, config, items), model, items.collate([items[(0, i)] for i in range(8)]), config


def test_the_loss_joins_what_the_teacher_says_and_what_the_labels_say(teacher: Path):
    lesson, model, batch, _ = lesson_of(teacher, temperature=2.0, share=0.25, features=0.5)
    parts = lesson(model, batch, torch.Generator().manual_seed(3))
    known = Run.load(teacher).model
    hard = model.loss(batch, torch.Generator().manual_seed(3))["total"]
    soft = soft_loss(model.logits(batch), known.logits(batch), 2.0)
    features = feature_loss(lesson.adapter(model.features(batch)), known.features(batch))
    assert_close(parts["hard"], hard)
    assert_close(parts["soft"], soft)
    assert_close(parts["features"], features)
    assert_close(parts["total"], 0.25 * soft + 0.75 * hard + 0.5 * features)


def test_the_teacher_is_frozen_and_belongs_to_nothing_that_is_kept(teacher: Path):
    lesson, model, batch, config = lesson_of(teacher, features=1.0)
    module = TrainingModule(model, config, 10, lesson)
    module.train()
    assert not any(part.training for part in lesson.teacher.modules())
    lesson(model, batch, torch.Generator())["total"].backward()
    assert all(parameter.grad is None for parameter in lesson.teacher.parameters())
    assert all(parameter.grad is not None for parameter in model.parameters())
    learned = {id(p) for group in module.optimiser.param_groups for p in group["params"]}
    assert learned == {id(p) for part in (model, lesson.adapter) for p in part.parameters()}
    assert module.average is not None
    assert len(list(module.average.parameters())) == len(list(model.parameters()))


def test_the_finished_model_holds_neither_teacher_nor_adapter(teacher: Path, toy: Path):
    run = student(toy / "run", {"run": "teacher", "features": 1.0})
    assert set(weights(run.folder.path)) == set(load_domain("toy").build(run.config).state_dict())


def test_a_student_learns_other_weights_than_alone_and_the_labels_alone_give_the_same(teacher: Path, toy: Path):
    alone = student(toy / "alone", None)
    taught = student(toy / "taught", {"run": "teacher"})
    assert weights(taught.folder.path) != weights(alone.folder.path)
    ignored = student(toy / "ignored", {"run": "teacher", "share": 0.0}, **{"model.dropout": 0.0})
    plain = student(toy / "plain", None, **{"model.dropout": 0.0})
    assert weights(ignored.folder.path) == weights(plain.folder.path)


def test_with_the_teachers_part_alone_the_student_comes_to_agree_with_it(teacher: Path, toy: Path):
    run = student(toy / "run", {"run": "teacher", "share": 1.0, "temperature": 2.0}, **{**PLAIN, "train.epochs": 15})
    items = run.items("validation")
    batch = items.collate([items[(0, i)] for i in range(len(items))])
    with torch.no_grad():
        wanted, given = (each.model.logits(batch).softmax(-1) for each in (Run.load(teacher), run))
    assert (wanted - given).abs().mean() < 0.1


def test_the_run_records_who_taught_it(teacher: Path, toy: Path):
    run = student(toy / "run", {"run": "teacher"})
    digest = json.loads((teacher / "model" / "model.json").read_text())["sha256"]
    told = json.loads(run.folder.distill.read_text())
    assert told == {"run": "teacher", "recipe": "toy/simulated", "sha256": digest}
    assert not (teacher / "distill.json").exists()


def test_the_licences_of_the_teachers_data_travel_along_once(teacher: Path, toy: Path):
    run = student(toy / "run", {"run": "teacher"})
    assert [card["id"] for card in json.loads(run.folder.cards.read_text())] == ["waves"]
    own = json.loads((teacher / "cards.json").read_text())
    (teacher / "cards.json").write_text(json.dumps([*own, {**own[0], "id": "older", "licence text": "CC-BY-4.0"}]))
    found = find_teacher(run.config, None)
    assert found is not None
    records = with_cards_of(own, [found.source])
    assert [(card["id"], card.get("read_by")) for card in records] == [("waves", None), ("older", "teacher")]
    assert with_cards_of(own, []) == own


@pytest.mark.parametrize("features", [0.0, 1.0])
def test_asking_the_teacher_once_gives_what_asking_it_always_does(teacher: Path, toy: Path, features: float):
    chosen = {"run": "teacher", "features": features}
    always = load_weights(student(toy / "always", chosen, **PLAIN).folder.model / "weights.safetensors")
    once = load_weights(student(toy / "once", {**chosen, "once": True}, **PLAIN).folder.model / "weights.safetensors")
    for name, value in always.items():
        assert_close(once[name], value, atol=1e-4, rtol=1e-3)


def test_augmented_items_cannot_be_asked_about_once(teacher: Path, toy: Path):
    with pytest.raises(ConfigError, match=r"distill\.once=true, but 'value' of a training item changes"):
        student(toy / "run", {"run": "teacher", "once": True})
    assert not (toy / "run").exists()


def test_without_a_run_the_command_that_makes_a_teacher_is_named(toy: Path):
    with pytest.raises(ConfigError) as caught:
        student(toy / "run", {"teacher": "toy/simulated"})
    assert str(caught.value) == (
        "toy/simulated: distill.run is not set; it names the folder of a finished run, the teacher.\n"
        "  Make one with `armillary train toy/simulated --out runs/toy-simulated`, then add "
        "--set distill.run=runs/toy-simulated. To train without a teacher, --set distill=null."
    )
    with pytest.raises(ConfigError, match=r"Add --set distill\.run=DIR"):
        student(toy / "run", {"share": 0.5})
    assert not (toy / "run").exists()


@pytest.mark.parametrize("name", ["teacher", "nowhere"])
def test_an_unfinished_or_missing_teacher_is_named(teacher: Path, toy: Path, name: str):
    shutil.rmtree(teacher / "model")
    with pytest.raises(RunError, match=r"no finished model|no such folder"):
        student(toy / "run", {"run": name})
    assert not (toy / "run").exists()


def test_a_damaged_teacher_is_noticed(teacher: Path, toy: Path):
    file = teacher / "model" / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-4] + b"\0\0\0\1")
    with pytest.raises(RunError, match="damaged: sha256"):
        student(toy / "run", {"run": "teacher"})


def patched(teacher: Path, monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
    """Lets `Run.load` give a changed teacher."""
    run = Run.load(teacher)
    change(run)
    monkeypatch.setattr(Run, "load", classmethod(lambda cls, path, **_: run))


def test_a_teacher_of_another_domain_is_refused(teacher: Path, toy: Path, monkeypatch: pytest.MonkeyPatch):
    def elsewhere(run: Run) -> None:
        run.config = run.config.model_copy(update={"recipe": "waves/first"})

    patched(teacher, monkeypatch, elsewhere)
    with pytest.raises(RunError, match="is a run of waves, and this one of toy"):
        student(toy / "run", {"run": "teacher"})


def test_a_teacher_of_other_classes_or_another_order_is_refused(teacher: Path, toy: Path):
    with pytest.raises(RunError, match=r"tells apart \['fast', 'slow'\], this run \['slow', 'fast'\]"):
        student(toy / "run", {"run": "teacher"}, **{"data.classes": ("slow", "fast")})
    assert not (toy / "run").exists()


def test_a_teacher_with_another_number_of_scores_is_refused(teacher: Path, monkeypatch: pytest.MonkeyPatch):
    def three(batch: dict[str, Any]) -> torch.Tensor:
        return torch.zeros(len(batch["index"]), 3)

    patched(teacher, monkeypatch, lambda run: setattr(run.model, "logits", three))
    with pytest.raises(RunError, match="the teacher gives 3 class scores an item, this run's model 2"):
        lesson_of(teacher)


def test_a_teacher_that_reads_other_items_is_refused(teacher: Path, monkeypatch: pytest.MonkeyPatch):
    def other(batch: dict[str, Any]) -> torch.Tensor:
        return batch["flux"]

    patched(teacher, monkeypatch, lambda run: setattr(run.model, "logits", other))
    with pytest.raises(RunError, match=r"toy/simulated cannot read the items of toy/simulated \(KeyError: 'flux'\)"):
        lesson_of(teacher)


@pytest.mark.parametrize(("method", "advice"), [("logits", "another recipe"), ("features", r"distill\.features=0")])
def test_a_model_that_cannot_be_asked_is_refused(
    teacher: Path, monkeypatch: pytest.MonkeyPatch, method: str, advice: str
):
    Run.load(teacher)
    from armillary_toy.parts import Net

    monkeypatch.delattr(Net, method)
    with pytest.raises(RunError, match=rf"has no `{method}\(batch\)`.*{advice}"):
        lesson_of(teacher, features=1.0)


def test_a_teacher_that_was_trained_on_what_judges_the_student_is_refused(teacher: Path, toy: Path):
    with pytest.raises(RunError, match=r"40 groups of this run's validation split trained the teacher, '0001_1' among"):
        student(toy / "run", {"run": "teacher"}, **{"data.fold": 2})
    assert not (toy / "run").exists()


def start(out: Path, *more: str) -> subprocess.Popen[bytes]:
    """The training command of a student with an adapter, in a process group of its own."""
    command = [sys.executable, "-m", "armillary.pipelines.cli", "train", "toy/simulated", "--out", str(out), "--quiet"]
    return subprocess.Popen([*command, *more], start_new_session=True, stderr=subprocess.PIPE)


def test_a_killed_student_goes_on_exactly_also_when_its_teacher_has_moved(teacher: Path, toy: Path):
    slow = {"train.checkpoint_steps": 3, "train.epochs": 14, "data.seconds_a_batch": 0.03}
    distill = {"run": "teacher", "features": 1.0}
    student(toy / "straight", distill, **slow)
    sets = {**slow, "model.width": 4, "distill": json.dumps(distill)}
    process = start(toy / "killed", *(f"--set={path}={value}" for path, value in sets.items()))
    deadline = time.monotonic() + 120
    while len(list((toy / "killed" / "checkpoints").glob("step-*"))) < 2:
        assert process.poll() is None, process.stderr.read().decode()
        assert time.monotonic() < deadline, "no checkpoint appeared"
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (toy / "killed" / "model").exists(), "the run ended before it was killed"
    teacher.rename(toy / "moved")
    again = {"out": toy / "killed", "resume": True, "quiet": True}
    with pytest.raises(RunError, match="teacher: no such folder"):
        train("toy/simulated", **again)
    train("toy/simulated", **again, set={"distill.run": "moved"})
    assert weights(toy / "killed") == weights(toy / "straight")
    assert (toy / "killed" / "metrics.jsonl").read_text() == (toy / "straight" / "metrics.jsonl").read_text()


def test_another_teacher_on_resume_is_refused(teacher: Path, toy: Path):
    student(toy / "run", {"run": "teacher"})
    shutil.rmtree(toy / "run" / "model")
    train("toy/simulated", out=toy / "other", quiet=True, set={**TEACHER, "seed": 1})
    with pytest.raises(RunError, match=r"distill\.run=other: its weights have sha256 .*began with .* of teacher\."):
        train("toy/simulated", out=toy / "run", resume=True, quiet=True, set={"distill.run": "other"})
    with pytest.raises(ConfigError, match=r"distill\.share differs from the run"):
        train("toy/simulated", out=toy / "run", resume=True, quiet=True, set={"distill.share": 0.1})
