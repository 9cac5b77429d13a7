"""The complete configuration of a run. A recipe returns one; a domain subclasses it to type data, model and predict."""

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, SerializeAsAny

from armillary.core.config.settings import Settings


class OptimSettings(Settings):
    """Optimiser and learning-rate schedule. Steps are optimiser steps."""

    algorithm: Literal["adam", "adamw", "muon"] = Field(
        default="adamw", description="muon: on the matrices of the blocks, AdamW on the rest"
    )
    lr: PositiveFloat = 1e-3
    weight_decay: NonNegativeFloat = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    clip_norm: PositiveFloat | None = 1.0
    schedule: Literal["constant", "cosine", "plateau"] = "cosine"
    warmup_steps: NonNegativeInt = 100
    final_lr_fraction: float = Field(default=0.01, ge=0, le=1)
    plateau_factor: float = Field(default=0.1, gt=0, lt=1, description="plateau: lr is multiplied by this")
    plateau_patience: NonNegativeInt = Field(default=5, description="plateau: epochs without a lower training loss")
    plateau_cooldown: NonNegativeInt = 5
    average_decay: float | None = Field(default=None, gt=0, lt=1, description="exponential average of the weights")


class TrainSettings(Settings):
    """How long, in which batches, and when to look at the validation split."""

    epochs: PositiveInt = 20
    steps: PositiveInt | None = Field(default=None, description="end after so many steps, whatever epochs says")
    cpu_seconds: PositiveFloat | None = Field(
        default=None, description="end with the epoch in which this much processor time [s] is spent"
    )
    batch_size: PositiveInt = 64
    validate_every: PositiveInt = Field(default=1, description="epochs between validations; each saves a checkpoint")
    checkpoint_steps: PositiveInt | None = Field(default=None, description="also save a checkpoint every so many steps")
    patience: PositiveInt | None = Field(default=None, description="stop after so many validations without gain")
    min_delta: NonNegativeFloat = 0.0
    workers: NonNegativeInt = 0
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: PositiveInt | None = Field(default=None, description="CPU threads; None keeps torch's choice")


class EvaluateSettings(Settings):
    """How metrics are reported."""

    batch_size: PositiveInt = Field(default=64, description="items at once: small ones stay in a CPU's cache")
    resamples: PositiveInt = Field(default=1000, description="bootstrap resamples over groups")
    confidence: float = Field(default=0.95, gt=0, lt=1)
    baselines: bool = True


class DistillSettings(Settings):
    """A finished run teaches this one: its class scores stand beside the labels."""

    run: str | None = Field(default=None, description="folder of the teacher's finished run; needed for training")
    teacher: str | None = Field(default=None, description="recipe that makes a teacher, named where `run` is not given")
    temperature: PositiveFloat = Field(default=4.0, description="scores are divided by it before the softmax")
    share: float = Field(
        default=0.7, ge=0, le=1, description="weight of the teacher's part; the run's own loss has the rest"
    )
    features: NonNegativeFloat = Field(
        default=0.0, description="weight of the distance between the features of teacher and student"
    )
    once: bool = Field(
        default=False,
        description="ask the teacher once about each item, before training; needs items without augmentation",
    )


class StartSettings(Settings):
    """The weights of a finished run are where this one starts."""

    run: str | None = Field(default=None, description="folder of the finished run; needed for training")
    recipe: str | None = Field(default=None, description="recipe that makes such a run, named where `run` is not given")
    leave: tuple[str, ...] = Field(default=(), description="weights whose names begin so are not taken")


class RunConfig(Settings):
    """Everything that decides a run's numbers. `recipe` is 'domain/name'."""

    recipe: str
    seed: NonNegativeInt = 0
    data: SerializeAsAny[Settings]
    model: SerializeAsAny[Settings]
    optim: OptimSettings = OptimSettings()
    train: TrainSettings = TrainSettings()
    start: StartSettings | None = Field(default=None, description="begin with a finished run's weights; None: anew")
    distill: DistillSettings | None = Field(default=None, description="learn from a finished run, too; None: alone")
    evaluate: EvaluateSettings = EvaluateSettings()
    predict: SerializeAsAny[Settings] = Settings()

    @property
    def domain(self) -> str:
        """The part of the recipe's name before the slash."""
        return self.recipe.partition("/")[0]
