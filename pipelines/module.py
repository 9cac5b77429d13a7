"""The one LightningModule: it knows a model's `loss`, the optimiser and the clock of steps."""

import math
from typing import Any

import lightning
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from armillary.core.config import RunConfig
from armillary.core.domain import Batch
from armillary.core.errors import RunError
from armillary.core.random import derive_seed
from armillary.pipelines.checkpoints import Checkpoint, Progress, Weights
from armillary.pipelines.learning_rate import Plateau, scheduled_factor
from armillary.pipelines.lesson import Lesson
from armillary.pipelines.optimisers import make_optimiser

Tensors = tuple[torch.Tensor, ...] | list[torch.Tensor]


class TrainingModule(lightning.LightningModule):
    """Wraps a plain model. `done_steps` counts optimiser steps of the whole run, resumed or not."""

    def __init__(self, model: nn.Module, config: RunConfig, total_steps: int, lesson: Lesson | None = None) -> None:
        super().__init__()
        self.model = model
        self.lesson = lesson
        self.adapter = None if lesson is None else lesson.adapter
        self.config = config
        self.total_steps = total_steps
        self.done_steps = 0
        self.plateau = Plateau()
        self.average = _average(model, config.optim.average_decay)
        trained = model if self.adapter is None else nn.ModuleList([model, self.adapter])
        self.optimiser = make_optimiser(trained, config.optim)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimiser made with the module, so that a checkpoint can fill it before training starts."""
        return self.optimiser

    def training_step(self, batch: Batch, _: int) -> torch.Tensor:
        """The total loss; its randomness depends on (seed, step) alone."""
        seed = self.config.seed
        torch.manual_seed(derive_seed(seed, "dropout", self.done_steps))
        generator = torch.Generator().manual_seed(derive_seed(seed, "loss", self.done_steps))
        self._set_rate()
        total = self._loss(batch, generator)["total"]
        if not math.isfinite(total.item()):
            raise RunError(
                f"step {self.done_steps}: the loss is {total.item()}. Expected a finite number.\n"
                "  Lower optim.lr, set optim.clip_norm, or look for bad values with `armillary data check`."
            )
        return total

    def after_step(self) -> None:
        """Bookkeeping once the optimiser has stepped."""
        self.done_steps += 1
        self.model.after_step()  # pyright: ignore[reportCallIssue]
        if self.average is not None:
            self.average.update_parameters(self.model)

    def chosen_model(self) -> nn.Module:
        """The model that is judged: the average where one is kept."""
        return self.model if self.average is None else self.average.module

    def to_checkpoint(self, progress: Progress) -> Checkpoint:
        """Everything that the next step depends on."""
        average = None if self.average is None else _cpu(self.average.module.state_dict())
        optimiser = {"optimiser": self.optimiser.state_dict(), "precision": self._precision_state()}
        if self.adapter is not None:
            optimiser["adapter"] = _cpu(self.adapter.state_dict())
        return Checkpoint(progress, _cpu(self.model.state_dict()), average, optimiser)

    def from_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Goes on from there."""
        self.model.load_state_dict(checkpoint.weights)
        if self.average is not None and checkpoint.average is not None:
            self.average.module.load_state_dict(checkpoint.average)
            self.average.n_averaged.fill_(max(checkpoint.progress.step, 1))
        self.optimiser.load_state_dict(checkpoint.optimiser["optimiser"])
        self._pending_precision = checkpoint.optimiser["precision"]
        if self.adapter is not None:
            self.adapter.load_state_dict(checkpoint.optimiser["adapter"])
        self.done_steps = checkpoint.progress.step
        if checkpoint.progress.plateau:
            self.plateau = Plateau.from_dict(checkpoint.progress.plateau)

    def on_fit_start(self) -> None:
        """Hands the loss scaler of mixed precision its saved state."""
        state = getattr(self, "_pending_precision", {})
        if state:
            self.trainer.precision_plugin.load_state_dict(state)

    def _loss(self, batch: Batch, generator: torch.Generator) -> dict[str, torch.Tensor]:
        if self.lesson is not None:
            return self.lesson(self.model, batch, generator)
        return self.model.loss(batch, generator)  # pyright: ignore[reportCallIssue]

    def _precision_state(self) -> dict[str, Any]:
        return self.trainer.precision_plugin.state_dict() if self._trainer is not None else {}

    def _set_rate(self) -> None:
        factor = scheduled_factor(self.config.optim, self.done_steps, self.total_steps) * self.plateau.factor
        for group in self.optimiser.param_groups:
            group["lr"] = group["base_lr"] * factor


def _average(model: nn.Module, decay: float | None) -> AveragedModel | None:
    if decay is None:
        return None

    @torch.no_grad()
    def update(average: Tensors, current: Tensors, number: torch.Tensor | int) -> None:
        # The first steps weigh more, so that a short run does not keep its initial weights.
        kept = min(decay, (1 + int(number)) / (10 + int(number)))
        for mean, value in zip(average, current, strict=True):
            mean.lerp_(value, 1 - kept)

    return AveragedModel(model, multi_avg_fn=update, use_buffers=False)


def _cpu(weights: Weights) -> Weights:
    return {name: tensor.detach().cpu().clone() for name, tensor in weights.items()}
