"""What happens between steps: metrics, validation, checkpoints, early stopping."""

import json
import math
import time
from dataclasses import replace
from typing import Any

import lightning
import numpy as np

from armillary.core.domain import Domain, Items
from armillary.core.errors import RunError
from armillary.pipelines.checkpoints import Progress, save_checkpoint
from armillary.pipelines.folder import RunFolder
from armillary.pipelines.inference import predict_items
from armillary.pipelines.module import TrainingModule
from armillary.pipelines.progress import ProgressBar


class Keeper(lightning.Callback):
    """Keeps metrics.jsonl and the checkpoints of a run, and decides when to stop."""

    def __init__(
        self, folder: RunFolder, domain: Domain, module: TrainingModule, validation: Items, epoch_steps: int
    ) -> None:
        self.bar = ProgressBar("", 0, quiet=True)
        self._folder, self._domain, self._module = folder, domain, module
        self._validation, self._epoch_steps = validation, epoch_steps
        self._config = module.config
        self._quick = domain.quick(module.config)
        self._metrics = domain.metrics(self._quick)
        self._progress = Progress()
        self._loss_sum, self._loss_count = 0.0, 0
        self._cpu_start = time.process_time()

    @property
    def stopped(self) -> bool:
        """True when early stopping or the budget of processor time has ended the run."""
        patience, budget = self._config.train.patience, self._config.train.cpu_seconds
        spent = self._progress.cpu_seconds + time.process_time() - self._cpu_start
        return (patience is not None and self._progress.stale >= patience) or (budget is not None and spent >= budget)

    def go_on(self, progress: Progress) -> None:
        """Takes up a checkpoint's place: what a killed run wrote after it is cut off."""
        self._progress = progress
        self._loss_sum, self._loss_count = progress.epoch_loss_sum, progress.epoch_loss_count
        size = self._folder.metrics.stat().st_size if self._folder.metrics.exists() else 0
        if size < progress.metrics_bytes:
            raise RunError(
                f"{self._folder.metrics}: {size} bytes, the checkpoint expects {progress.metrics_bytes}. "
                "Restore the file from a copy, or train again."
            )
        with self._folder.metrics.open("ab") as file:
            file.truncate(progress.metrics_bytes)

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if self._module.done_steps == 0:
            self._folder.metrics.unlink(missing_ok=True)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = float(outputs["loss"])
        self._module.after_step()
        self._loss_sum += loss
        self._loss_count += 1
        step = self._module.done_steps
        self.bar.advance(f"loss {loss:.4f}")
        every = self._config.train.checkpoint_steps
        if step % self._epoch_steps == 0 or step == self._module.total_steps:
            # A budget of steps may end inside an epoch, which then counts as one.
            self._end_epoch(trainer, -(-step // self._epoch_steps))
        elif every is not None and step % every == 0:
            self._save()

    def _end_epoch(self, trainer: lightning.Trainer, epoch: int) -> None:
        loss = self._loss_sum / self._loss_count
        self._loss_sum, self._loss_count = 0.0, 0
        self._module.plateau = self._module.plateau.after_epoch(loss, self._config.optim)
        rate = self._module.optimiser.param_groups[0]["lr"]
        row = {"step": self._module.done_steps, "epoch": epoch, "train loss": loss, "lr": rate}
        last = self._module.done_steps == self._module.total_steps or self.stopped
        if epoch % self._config.train.validate_every == 0 or last:
            values = self._validate()
            row |= {f"validation {name}": value for name, value in values.items()}
            self._judge(values[self._metrics.primary])
        self._write(row, trainer)
        if epoch % self._config.train.validate_every == 0 or last:
            self._save()
        trainer.should_stop = trainer.should_stop or last or self.stopped

    def _validate(self) -> dict[str, float]:
        records = predict_items(
            self._domain, self._quick, self._module.chosen_model(), self._validation, device=self._module.device
        )
        weight = np.ones(records.sizes["item"])
        return {metric.name: float(metric.value(records, weight)) for metric in self._metrics.metrics}

    def _judge(self, value: float) -> None:
        metric = self._metrics[self._metrics.primary]
        if not math.isfinite(value):
            raise RunError(
                f"validation {metric.name} is {value}; it chooses the checkpoint and must be finite.\n"
                "  Does every class occur in the validation split? See `armillary config show`."
            )
        best = self._progress.best_value
        sign = 1 if metric.direction == "min" else -1
        if best is None or sign * (best - value) > self._config.train.min_delta:
            self._progress = replace(self._progress, best_value=value, best_step=self._module.done_steps, stale=0)
        else:
            self._progress = replace(self._progress, stale=self._progress.stale + 1)

    def _write(self, row: dict[str, Any], trainer: lightning.Trainer) -> None:
        shown = {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in row.items()}
        with self._folder.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(shown) + "\n")
        numbers = {key: value for key, value in row.items() if key not in ("step",) and value == value}
        if trainer.logger is not None:
            trainer.logger.log_metrics(numbers, step=row["step"])
        primary = f"validation {self._metrics.primary}"
        note = f"  {primary} {row[primary]:.4f}" if primary in row else ""
        self.bar.say(f"epoch {row['epoch']}  loss {row['train loss']:.4f}{note}")

    def _save(self) -> None:
        now = time.process_time()
        self._progress = replace(
            self._progress,
            step=self._module.done_steps,
            metrics_bytes=self._folder.metrics.stat().st_size if self._folder.metrics.exists() else 0,
            cpu_seconds=self._progress.cpu_seconds + now - self._cpu_start,
            plateau=self._module.plateau.as_dict(),
            epoch_loss_sum=self._loss_sum,
            epoch_loss_count=self._loss_count,
        )
        self._cpu_start = now
        save_checkpoint(self._folder, self._module.to_checkpoint(self._progress))
