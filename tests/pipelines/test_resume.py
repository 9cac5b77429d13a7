"""A killed run goes on exactly: its final weights equal those of an undisturbed one, bit for bit."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from armillary.core.errors import ConfigError, RunError
from armillary.pipelines import Run, train, training
from armillary.pipelines.checkpoints import best_checkpoint, load_weights
from armillary.pipelines.folder import RunFolder

# Long enough to be killed twice before its end, also when two workers load batches.
SLOW = {"data.seconds_a_batch": 0.03, "train.checkpoint_steps": 3, "train.epochs": 14}


def weights(run: Path) -> dict[str, bytes]:
    """The final weights as bytes."""
    return {k: v.numpy().tobytes() for k, v in load_weights(run / "model" / "weights.safetensors").items()}


def start(out: Path, workers: int, *more: str) -> subprocess.Popen[bytes]:
    """The training command in a process group of its own, so that a kill reaches its workers."""
    sets = [f"--set={path}={value}" for path, value in {**SLOW, "train.workers": workers}.items()]
    command = [sys.executable, "-m", "armillary.pipelines.cli", "train", "toy/simulated", "--out", str(out), "--quiet"]
    return subprocess.Popen([*command, *sets, *more], start_new_session=True, stderr=subprocess.PIPE)


def kill_in_the_middle(out: Path, workers: int, rng: random.Random, *more: str) -> None:
    """SIGKILL at a random moment after the first checkpoint."""
    process = start(out, workers, *more)
    deadline = time.monotonic() + 120
    before = set((out / "checkpoints").glob("step-*"))
    while not set((out / "checkpoints").glob("step-*")) - before:
        assert process.poll() is None, process.stderr.read().decode()
        assert time.monotonic() < deadline, "no checkpoint appeared"
        time.sleep(0.005)
    time.sleep(rng.uniform(0, 0.25))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (out / "model").exists(), "the run ended before it was killed"


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_killed_twice_ends_as_the_undisturbed_one(toy: Path, workers: int):
    rng = random.Random(workers)
    straight, killed = toy / "straight", toy / "killed"
    train("toy/simulated", out=straight, quiet=True, set=SLOW)
    kill_in_the_middle(killed, workers, rng)
    kill_in_the_middle(killed, workers, rng, "--resume")
    done = start(killed, workers, "--resume")
    _, errors = done.communicate(timeout=120)
    assert done.returncode == 0, errors.decode()
    assert weights(killed) == weights(straight)
    assert (killed / "metrics.jsonl").read_text() == (straight / "metrics.jsonl").read_text()


def test_a_finished_run_is_not_trained_again(toy: Path):
    run = train("toy/simulated", out=toy / "run", epochs=2, quiet=True)
    before = (toy / "run" / "metrics.jsonl").stat().st_mtime_ns
    again = train("toy/simulated", out=toy / "run", epochs=2, quiet=True, resume=True)
    assert repr(again) == repr(run)
    assert (toy / "run" / "metrics.jsonl").stat().st_mtime_ns == before


def test_a_resumed_run_keeps_its_settings(toy: Path):
    train("toy/simulated", out=toy / "run", epochs=1, quiet=True)
    with pytest.raises(ConfigError, match=r"optim.lr differs from the run in .*; a resumed run keeps its settings"):
        train("toy/simulated", out=toy / "run", epochs=1, quiet=True, resume=True, set={"optim.lr": 0.5})
    train("toy/simulated", out=toy / "run", quiet=True, resume=True, set={"train.workers": 1})


def test_an_existing_folder_is_never_written_over(toy: Path):
    (toy / "run").mkdir()
    (toy / "run" / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="already holds files"):
        train("toy/simulated", out=toy / "run", quiet=True)
    assert [path.name for path in (toy / "run").iterdir()] == ["notes.txt"]


def test_a_damaged_weight_file_is_named(toy: Path):
    train("toy/simulated", out=toy / "run", epochs=1, quiet=True)
    file = toy / "run" / "model" / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-4] + b"\0\0\0\1")
    with pytest.raises(RunError, match=r"weights.safetensors: damaged: sha256"):
        _ = Run.load(toy / "run").model


@pytest.fixture
def unfinished(toy: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that stopped after its last checkpoint and before its model was written."""

    def power_cut(*_: object) -> None:
        raise InterruptedError

    with monkeypatch.context() as patch:
        patch.setattr(training, "_finish", power_cut)
        with pytest.raises(InterruptedError):
            train("toy/simulated", out=toy / "run", epochs=2, quiet=True)
    return toy / "run"


def resume(run: Path) -> Run:
    """Goes on with the run."""
    return train("toy/simulated", out=run, epochs=2, quiet=True, resume=True)


def test_a_run_that_lacks_only_its_model_gets_it(unfinished: Path):
    assert "unfinished" in repr(Run.load(unfinished))
    with pytest.raises(RunError, match=r"no finished model\. Go on with `armillary train toy/simulated --resume --out"):
        _ = Run.load(unfinished).model
    assert "parameters" in repr(resume(unfinished))


@pytest.mark.parametrize("name", ["weights.safetensors", "average.safetensors", "optimiser.pt", "state.json"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_checkpoint_is_named(unfinished: Path, name: str, damage: str):
    newest = sorted((unfinished / "checkpoints").glob("step-*"))[-1]
    if damage == "gone":
        (newest / name).unlink()
    else:
        (newest / name).write_bytes((newest / name).read_bytes()[:-7])
    with pytest.raises(RunError, match=name):
        resume(unfinished)


def test_a_hostile_optimiser_file_is_not_unpickled(unfinished: Path, toy: Path):
    newest = sorted((unfinished / "checkpoints").glob("step-*"))[-1]
    torch.save({"optimiser": Bomb(toy / "exploded")}, newest / "optimiser.pt")
    state = json.loads((newest / "state.json").read_text())
    state["sha256"]["optimiser.pt"] = hashlib.sha256((newest / "optimiser.pt").read_bytes()).hexdigest()
    (newest / "state.json").write_text(json.dumps(state))
    with pytest.raises(RunError, match=r"optimiser.pt: cannot be read"):
        resume(unfinished)
    assert not (toy / "exploded").exists()


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_metrics_shorter_than_the_checkpoint_says_are_an_error(unfinished: Path):
    (unfinished / "metrics.jsonl").write_bytes(b"")
    with pytest.raises(RunError, match=r"metrics.jsonl: 0 bytes, the checkpoint expects"):
        resume(unfinished)


def test_a_missing_best_checkpoint_is_named(unfinished: Path):
    shutil.rmtree(unfinished / "checkpoints")
    with pytest.raises(RunError, match="no checkpoint"):
        best_checkpoint(RunFolder(unfinished))
