"""Learning-rate schedules as functions of the step, and the one that watches the training loss."""

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from armillary.core.config import OptimSettings


def scheduled_factor(optim: OptimSettings, step: int, total_steps: int) -> float:
    """Multiple of the base learning rate at a step: linear warm-up, then constant or half a cosine."""
    if step < optim.warmup_steps:
        return (step + 1) / optim.warmup_steps
    if optim.schedule != "cosine":
        return 1.0
    progress = (step - optim.warmup_steps) / max(total_steps - optim.warmup_steps, 1)
    cosine = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    return optim.final_lr_fraction + (1 - optim.final_lr_fraction) * cosine


@dataclass(frozen=True)
class Plateau:
    """Lowers the rate when the epoch's training loss has not fallen for a while."""

    factor: float = 1.0
    best: float = math.inf
    bad_epochs: int = 0
    cooldown: int = 0

    def after_epoch(self, loss: float, optim: OptimSettings) -> "Plateau":
        """The state after one more epoch with this training loss; other schedules leave it unchanged."""
        if optim.schedule != "plateau":
            return self
        if loss < self.best:
            return replace(self, best=loss, bad_epochs=0, cooldown=max(self.cooldown - 1, 0))
        if self.cooldown:
            return replace(self, cooldown=self.cooldown - 1, bad_epochs=0)
        if self.bad_epochs + 1 > optim.plateau_patience:
            return replace(
                self, factor=self.factor * optim.plateau_factor, bad_epochs=0, cooldown=optim.plateau_cooldown
            )
        return replace(self, bad_epochs=self.bad_epochs + 1)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for the checkpoint; infinity is written as None."""
        return {**asdict(self), "best": None if math.isinf(self.best) else self.best}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Plateau":
        """The inverse of `as_dict`."""
        best = math.inf if values["best"] is None else float(values["best"])
        return cls(values["factor"], best, values["bad_epochs"], values["cooldown"])
