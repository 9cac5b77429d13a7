"""Checkpoints: folders that are whole or absent, with digests, so that damage is noticed."""

import hashlib
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from armillary.core.errors import RunError
from armillary.core.files import atomic_write
from armillary.pipelines.folder import RunFolder, read_json, resume_command, write_json

Weights = dict[str, torch.Tensor]

_WEIGHTS, _AVERAGE, _OPTIMISER, _STATE = "weights.safetensors", "average.safetensors", "optimiser.pt", "state.json"


@dataclass(frozen=True)
class Progress:
    """Where a run stands after a step.

    metrics_bytes: length of metrics.jsonl then; what a killed run wrote beyond it is cut off on resume.
    cpu_seconds: processor time spent on training so far [s].
    best_value, best_step: of the primary metric on validation; stale: validations since then.
    """

    step: int = 0
    metrics_bytes: int = 0
    cpu_seconds: float = 0.0
    best_value: float | None = None
    best_step: int | None = None
    stale: int = 0
    plateau: dict[str, Any] = field(default_factory=dict[str, Any])
    epoch_loss_sum: float = 0.0
    epoch_loss_count: int = 0


@dataclass(frozen=True)
class Checkpoint:
    """Everything that the next step depends on."""

    progress: Progress
    weights: Weights
    average: Weights | None
    optimiser: dict[str, Any]


def save_checkpoint(folder: RunFolder, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint for its step, then removes those that are neither the newest nor the best."""
    progress = checkpoint.progress
    with atomic_write(folder.checkpoints / _name(progress.step)) as temporary:
        temporary.mkdir()
        save_file(_contiguous(checkpoint.weights), temporary / _WEIGHTS)
        if checkpoint.average is not None:
            save_file(_contiguous(checkpoint.average), temporary / _AVERAGE)
        torch.save(checkpoint.optimiser, temporary / _OPTIMISER)
        digests = {path.name: _digest(path) for path in sorted(temporary.iterdir())}
        state = {"progress": vars(progress), "sha256": digests}
        (temporary / _STATE).write_text(json.dumps(state, indent=1) + "\n", encoding="utf-8")
    for path in _all(folder):
        if path.name not in (_name(progress.step), _name(progress.best_step)):
            shutil.rmtree(path)


def newest_checkpoint(folder: RunFolder) -> Path | None:
    """The checkpoint to resume from; None before the first."""
    found = _all(folder)
    return found[-1] if found else None


def best_checkpoint(folder: RunFolder) -> Path:
    """The checkpoint with the best validation metric.

    Raises:
        RunError: there is none.
    """
    newest = newest_checkpoint(folder)
    if newest is None:
        raise RunError(f"{folder.checkpoints}: no checkpoint. Train the run first, or go on with --resume.")
    best = read_progress(newest).best_step
    path = folder.checkpoints / _name(best)
    if best is None or not path.is_dir():
        raise RunError(
            f"{path}: the best checkpoint is missing. Restore it from a copy, or train again into another folder."
        )
    return path


def read_progress(path: Path) -> Progress:
    """Where the run stood at a checkpoint."""
    try:
        return Progress(**read_json(path / _STATE)["progress"])
    except (KeyError, TypeError) as error:
        raise RunError(f"{path / _STATE}: damaged ({error}). {_ADVICE}") from error


def load_checkpoint(path: Path) -> Checkpoint:
    """A checkpoint whose digests agree; the optimiser state is read as plain tensors only.

    Raises:
        RunError: a file is missing or damaged.
    """
    progress = read_progress(path)
    for name, expected in read_json(path / _STATE)["sha256"].items():
        check_digest(path / name, expected)
    average = path / _AVERAGE
    return Checkpoint(
        progress,
        load_weights(path / _WEIGHTS),
        load_weights(average) if average.exists() else None,
        _load_optimiser(path / _OPTIMISER),
    )


def _load_optimiser(path: Path) -> dict[str, Any]:
    try:
        return torch.load(path, weights_only=True, map_location="cpu")
    except (OSError, RuntimeError, UnpicklingError) as error:
        raise RunError(f"{path}: cannot be read ({str(error).splitlines()[0]}). {_ADVICE}") from error


def chosen_weights(checkpoint: Checkpoint) -> Weights:
    """The weights that are judged: the average where one is kept."""
    return checkpoint.weights if checkpoint.average is None else checkpoint.average


def save_model(folder: RunFolder, weights: Weights, about: dict[str, Any]) -> None:
    """The final model: safetensors and a JSON that names its recipe, step and digest."""
    with atomic_write(folder.model) as temporary:
        temporary.mkdir()
        save_file(_contiguous(weights), temporary / _WEIGHTS)
        write_json(temporary / "model.json", {**about, "sha256": _digest(temporary / _WEIGHTS)})


def load_model_weights(folder: RunFolder) -> Weights:
    """The final model's weights.

    Raises:
        RunError: training has not ended, or the file is damaged.
    """
    about = folder.model / "model.json"
    if not about.exists():
        raise RunError(f"{folder.path}: no finished model. Go on with `{resume_command(folder)}`.")
    check_digest(folder.model / _WEIGHTS, read_json(about)["sha256"])
    return load_weights(folder.model / _WEIGHTS)


def load_weights(path: Path) -> Weights:
    """Tensors of a safetensors file.

    Raises:
        RunError: missing or damaged.
    """
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise RunError(f"{path}: cannot be read ({error}). {_ADVICE}") from error


def check_digest(path: Path, expected: str) -> None:
    """Raises RunError where a file is not the one that was written."""
    try:
        got = _digest(path)
    except OSError as error:
        raise RunError(f"{path}: missing ({error.strerror}). {_ADVICE}") from error
    if got != expected:
        raise RunError(f"{path}: damaged: sha256 {got[:12]}..., expected {expected[:12]}... . {_ADVICE}")


_ADVICE = "Remove that checkpoint's folder and --resume from an older one, restore it from a copy, or train again."


def _all(folder: RunFolder) -> list[Path]:
    return sorted(folder.checkpoints.glob("step-*")) if folder.checkpoints.is_dir() else []


def _name(step: int | None) -> str:
    return f"step-{step or 0:09d}"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _contiguous(weights: Weights) -> Weights:
    # safetensors refuses tensors that share memory, as tied weights do; a copy each is what it stores anyway.
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in weights.items()}
