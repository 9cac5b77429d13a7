"""Settings of the medical domain: data, options of prediction, and the complete run. Free of torch."""

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from armillary.core.config import RunConfig, Settings
from armillary.domains.medical.systems.settings import SystemSettings

Task = Literal["labels", "classes", "masks", "pretrain"]


class AugmentSettings(Settings):
    """Changes of a training image, drawn from (seed, epoch, index); masks change along. See augment.py."""

    crop: tuple[float, float] | None = Field(
        default=None, description="cut out a random part of so much of the area and bring it to the size; None: no crop"
    )
    flip: bool = Field(default=False, description="mirror every second image from left to right")
    turn: bool = Field(default=False, description="also mirror up and down, and turn by quarters: fundus, skin, cells")
    rotate_deg: NonNegativeFloat = Field(default=0.0, description="turn by up to so many degrees")
    scale: NonNegativeFloat = Field(default=0.0, description="enlarge or shrink by up to this share")
    brightness: NonNegativeFloat = Field(default=0.0, description="add up to so many standard deviations")
    contrast: NonNegativeFloat = Field(default=0.0, description="multiply by 1 - x to 1 + x about the mean")
    magnitude: NonNegativeFloat = Field(
        default=0.0, description="RandAugment: how strong its two operations are, of 10; 0: none"
    )
    magnitude_std: NonNegativeFloat = Field(default=0.5, description="RandAugment: spread of the magnitude")


class MedicalData(Settings):
    """Which images, what is asked of them, and how they are brought to the network.

    task 'labels': several findings can be there at once. 'classes': one of `names` is. 'masks': a mask of each of
    `names`, which may overlap. 'pretrain': images alone. Splits are the card's; no patient is in two of them.
    """

    card: str
    task: Task
    names: tuple[str, ...] = Field(default=(), description="labels, classes or structures, in the order of the outputs")
    size: tuple[PositiveInt, ...] | None = Field(
        default=(224, 224), description="images are brought to it (rows, columns; planes first); None: left as they are"
    )
    channels: Literal[1, 3] = Field(default=1, description="grey images for a network of 3 are repeated")
    patch: tuple[PositiveInt, ...] | None = Field(
        default=None,
        description="training sees random parts of this size, prediction overlapping ones; None: all of it",
    )
    patches_per_image: PositiveInt = Field(default=1, description="parts of each image in an epoch")
    mean: tuple[float, ...] | None = Field(
        default=None, description="of grey values in [0, 1], one number or one a channel; None: of the training images"
    )
    std: tuple[PositiveFloat, ...] | None = None
    each_image: bool = Field(default=False, description="normalise every image by its own mean and deviation instead")
    unknown: Literal["ignore", "zero", "one"] = Field(
        default="ignore", description="what a label that is marked uncertain (-1) counts as"
    )
    views: tuple[str, ...] = Field(default=(), description="use images of these views only; empty: all")
    augment: AugmentSettings = AugmentSettings()

    @model_validator(mode="after")
    def _asks_for_something(self) -> "MedicalData":
        if self.task != "pretrain" and not self.names:
            raise ValueError(f"task '{self.task}' needs names: the labels, classes or structures to tell")
        if self.task == "classes" and len(self.names) < 2:
            raise ValueError(f"task 'classes' tells apart two names at least, got {self.names}")
        return self

    @model_validator(mode="after")
    def _whole_statistics(self) -> "MedicalData":
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std are given together, or neither is")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and len(values) not in (1, self.channels):
                raise ValueError(f"{name} has {len(values)} numbers; expected one, or one for each of {self.channels}")
        return self

    @model_validator(mode="after")
    def _patches_of_masks(self) -> "MedicalData":
        if self.patch is not None and self.task != "masks":
            raise ValueError(f"patch={self.patch} cuts images for masks; a run of task '{self.task}' reads them whole")
        if self.size is None and self.task != "masks":
            raise ValueError(f"size=None leaves images as they are; a run of task '{self.task}' needs one size")
        return self

    @property
    def rank(self) -> int:
        """Axes of an image: 2, or 3 for volumes."""
        return len(self.patch or self.size or (0, 0))


class MedicalPredict(Settings):
    """Options of prediction and of reading files. Nothing that comes out is for diagnosis."""

    threshold: Literal["half", "youden", "sensitivity"] = Field(
        default="youden", description="from which probability a label counts: 0.5, or what validation says"
    )
    sensitivity: float = Field(
        default=0.95, gt=0, le=1, description="threshold=sensitivity: share of the positives of validation to be found"
    )
    samples: NonNegativeInt = Field(
        default=0, description="passes with dropout, whose spread is told as uncertainty; 0: one pass without"
    )
    maps: Literal["none", "gradient", "attention"] = Field(
        default="none", description="for each image and label, where the network looked; written as pictures"
    )
    overlap: float = Field(default=0.5, ge=0, lt=0.95, description="share of a part that the next one has too")
    window: tuple[float, float] | None = Field(
        default=None, description="centre and width in a DICOM file's own units; None: the file's first window"
    )
    keep_masks: bool = Field(
        default=False, description="also give probabilities where true masks are known; pretrain: what is filled in"
    )
    ratios: tuple[float, ...] = Field(default=(0.75, 0.9), description="pretrain: shares hidden in the figures")
    examples: PositiveInt = Field(default=6, description="images drawn in the report")

    @model_validator(mode="after")
    def _passes_with_a_spread(self) -> "MedicalPredict":
        if self.samples == 1:
            raise ValueError("samples=1 has no spread; expected 0 for a pass without dropout, or 2 and more")
        return self


class MedicalRun(RunConfig):
    """A complete run: data, one of the networks, options of prediction."""

    # Pyright cannot know that settings are frozen, so that a field may be narrowed.
    data: MedicalData  # pyright: ignore[reportIncompatibleVariableOverride]
    model: SystemSettings  # pyright: ignore[reportIncompatibleVariableOverride]
    predict: MedicalPredict = MedicalPredict()  # pyright: ignore[reportIncompatibleVariableOverride]

    @model_validator(mode="after")
    def _network_for_the_task(self) -> "MedicalRun":
        if self.data.task not in self.model.tasks:
            raise ValueError(
                f"model.kind '{self.model.kind}' is for the task {' or '.join(self.model.tasks)}, "
                f"and data.task is '{self.data.task}'"
            )
        return self
