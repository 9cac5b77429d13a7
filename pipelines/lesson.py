"""What a student learns beside its teacher: the joint loss, and the checks that the two fit each other."""

from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from armillary.core.config import DistillSettings, RunConfig
from armillary.core.domain import Batch, Featured, Items, Scorer
from armillary.core.errors import ConfigError, RunError
from armillary.core.objectives.distillation import feature_loss, soft_loss
from armillary.core.random import derive_seed
from armillary.pipelines.distillation import Teacher
from armillary.pipelines.inference import batches, choose_device, to_device

_PROBED = 64  # items that are looked at before training
# What a model says to a batch that another system's items made.
_MISFITS = (KeyError, ValueError, IndexError, RuntimeError, TypeError)


class Lesson(nn.Module):
    """The loss of a student beside its frozen teacher.

    The teacher is always in evaluation mode and has no gradient. The adapter, a linear map from the student's features
    to the teacher's, is trained along and ends with the lesson: no finished model holds it.
    """

    answers: Tensor | None  # (n, k), one row an item
    answered_features: Tensor | None  # (n, f)

    def __init__(self, teacher: nn.Module, settings: DistillSettings, adapter: nn.Linear | None = None) -> None:
        super().__init__()
        self.teacher = teacher.eval().requires_grad_(False)
        self.settings, self.adapter = settings, adapter
        # Not persistent: a resumed run asks anew, and gets the same.
        self.register_buffer("answers", None, persistent=False)
        self.register_buffer("answered_features", None, persistent=False)

    def train(self, mode: bool = True) -> "Lesson":
        """The teacher stays in evaluation mode, whoever asks."""
        super().train(mode)
        self.teacher.eval()
        return self

    def forward(self, student: nn.Module, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """share * soft + (1 - share) * hard + features; "hard" is the student's own total."""
        parts: dict[str, Tensor] = student.loss(batch, generator)  # pyright: ignore[reportCallIssue]
        hard, share = parts["total"], self.settings.share
        answers, features = self._ask(batch)
        soft = soft_loss(cast(Scorer, student).logits(batch), answers, self.settings.temperature)
        found = {**parts, "hard": hard, "soft": soft, "total": share * soft + (1 - share) * hard}
        if self.adapter is not None:
            found["features"] = feature_loss(self.adapter(cast(Featured, student).features(batch)), features)
            found["total"] = found["total"] + self.settings.features * found["features"]
        return found

    def _ask(self, batch: Batch) -> tuple[Tensor, Any]:
        """The teacher's scores and, where they are needed, features of a batch."""
        if self.answers is not None:
            features = self.answered_features
            return self.answers[batch["index"]], None if features is None else features[batch["index"]]
        with torch.no_grad():
            return _outputs(self.teacher, batch, self.adapter is not None)

    @torch.no_grad()
    def ask_once(self, items: Items, config: RunConfig) -> None:
        """Lets the teacher answer all items now, in their plain order, so that it rests during training."""
        device = choose_device(config.train.device)
        self.to(device)
        answers, features, order = list[Tensor](), list[Tensor](), list[Tensor]()
        for batch in batches(items, config.evaluate.batch_size):
            scores, seen = _outputs(self.teacher, to_device(batch, device), self.adapter is not None)
            answers.append(scores)
            order.append(batch["index"])
            features += [] if seen is None else [seen]
        place = torch.cat(order).argsort().to(device)
        self.answers = torch.cat(answers)[place]
        self.answered_features = torch.cat(features)[place] if features else None


def make_lesson(teacher: Teacher, student: nn.Module, config: RunConfig, items: Items) -> Lesson:
    """The lesson of a teacher for a student, tried on a few training items.

    Raises:
        ConfigError, RunError: the two do not fit each other or these items.
    """
    model, settings = teacher.run.model, teacher.settings
    _check_methods(teacher.run.config.recipe, model, settings)
    _check_methods(config.recipe, student, settings)
    some = range(min(len(items), _PROBED))
    batch = items.collate([items[(0, index)] for index in some])
    adapter = _adapter(teacher, student, config, batch)
    lesson = Lesson(model, settings, adapter)
    if settings.once:
        for epoch in (1, 2):
            _check_equal(batch, items.collate([items[(epoch, index)] for index in some]))
        lesson.ask_once(items, config)
    return lesson


def _check_methods(recipe: str, model: nn.Module, settings: DistillSettings) -> None:
    if not isinstance(model, Scorer):
        raise RunError(f"{recipe}: its model has no `logits(batch)`, which distillation needs. Choose another recipe.")
    if settings.features and not isinstance(model, Featured):
        raise RunError(
            f"{recipe}: its model has no `features(batch)`. Set distill.features=0, or choose another recipe."
        )


def _adapter(teacher: Teacher, student: nn.Module, config: RunConfig, batch: Batch) -> nn.Linear | None:
    """Compares what both say to a batch; a linear map between their features where those are wanted."""
    wanted = bool(teacher.settings.features)
    was_training = student.training
    where = teacher.source.where
    with torch.no_grad():
        ours, own = _outputs(student.eval(), batch, wanted)
        student.train(was_training)
        try:
            theirs, seen = _outputs(teacher.run.model, batch, wanted)
        except _MISFITS as error:
            raise RunError(
                f"{where}: {teacher.run.config.recipe} cannot read the items of {config.recipe} "
                f"({type(error).__name__}: {error}).\n  Give a teacher that reads the same inputs."
            ) from error
    if theirs.shape != ours.shape:
        raise RunError(
            f"{where}: the teacher gives {theirs.shape[1]} class scores an item, this run's model {ours.shape[1]}.\n"
            "  Give a teacher of the same classes."
        )
    if seen is None or own is None:
        return None
    torch.manual_seed(derive_seed(config.seed, "adapter"))
    return nn.Linear(own.shape[1], seen.shape[1])


def _outputs(model: nn.Module, batch: Batch, features: bool) -> tuple[Tensor, Tensor | None]:
    return cast(Scorer, model).logits(batch).float(), cast(Featured, model).features(batch) if features else None


def _check_equal(plain: Batch, training: Batch) -> None:
    for name, value in plain.items():
        if isinstance(value, Tensor) and not np.array_equal(value.numpy(), training[name].numpy(), equal_nan=True):
            raise ConfigError(
                f"distill.once=true, but '{name}' of a training item changes from epoch to epoch, so that the teacher "
                "must be asked each time.\n  Set distill.once=false, or switch augmentation off (data.*)."
            )
