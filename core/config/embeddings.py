"""Settings of the embeddings, signals to tokens, and of the positions they add."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from armillary.core.config.channels import Activation
from armillary.core.config.settings import Settings


class SinusoidalSettings(Settings):
    """Fixed sine on even and cosine on odd features of the token's position, or of its index without one."""

    kind: Literal["sinusoidal"] = "sinusoidal"
    base: PositiveFloat = 10000.0


class LearnedPositionSettings(Settings):
    """One learned vector per index."""

    kind: Literal["learned"] = "learned"
    max_length: PositiveInt


class GridSinusoidalSettings(Settings):
    """Fixed sines and cosines of the coordinates on a grid of one to three axes, kept as a table."""

    kind: Literal["grid_sinusoidal"] = "grid_sinusoidal"
    extents: tuple[PositiveInt, ...] = Field(
        min_length=1, max_length=3, description="grid of the table; on others the encoding is computed anew"
    )
    prefix: NonNegativeInt = Field(default=0, description="rows of zeros in the table, for tokens before the grid's")
    base: PositiveFloat = 10000.0


class ContinuousTimeSettings(Settings):
    """Fourier features of physical coordinates with periods spaced evenly in their logarithm, then a linear map."""

    kind: Literal["continuous_time"] = "continuous_time"
    frequencies: PositiveInt = 16
    shortest: PositiveFloat = Field(default=1.0, description="shortest period, in the unit of the positions")
    longest: PositiveFloat = Field(default=1000.0, description="longest period, in the unit of the positions")
    axes: PositiveInt = Field(default=1, description="number of coordinates of each position")

    @model_validator(mode="after")
    def _ordered(self) -> "ContinuousTimeSettings":
        if self.longest < self.shortest:
            raise ValueError(f"longest period {self.longest} is below shortest {self.shortest}; swap them")
        return self


class NoPositionSettings(Settings):
    """Nothing is added."""

    kind: Literal["none"] = "none"


PositionSettings = Annotated[
    SinusoidalSettings | GridSinusoidalSettings | LearnedPositionSettings | ContinuousTimeSettings | NoPositionSettings,
    Field(discriminator="kind"),
]


class LinearEmbeddingSettings(Settings):
    """Each step of a multichannel series becomes a token: a linear map and an activation."""

    kind: Literal["linear"] = "linear"
    features: PositiveInt = Field(description="input features of each step")
    activation: Activation | None = None
    bias: bool = True
    position: PositionSettings = NoPositionSettings()


class ConvEmbeddingSettings(Settings):
    """Every `stride` steps of a multichannel series become a token that sees `kernel` steps."""

    kind: Literal["conv"] = "conv"
    features: PositiveInt = Field(description="input features of each step")
    kernel: PositiveInt = 7
    stride: PositiveInt = 4
    causal: bool = Field(default=False, description="a token sees no step after its own `stride` steps")
    activation: Activation | None = None
    bias: bool = True
    position: PositionSettings = NoPositionSettings()

    @model_validator(mode="after")
    def _covers_every_step(self) -> "ConvEmbeddingSettings":
        if self.kernel < self.stride:
            raise ValueError(f"kernel {self.kernel} is below stride {self.stride} and would skip steps")
        return self


class PatchEmbeddingSettings(Settings):
    """Each patch of a 1-D, 2-D or 3-D field becomes a token on a grid."""

    kind: Literal["patch"] = "patch"
    features: PositiveInt = Field(description="channels of the field")
    patch: tuple[PositiveInt, ...] = Field(default=(16, 16), min_length=1, max_length=3)
    periodic: tuple[bool, ...] | None = Field(default=None, description="axes that wrap around; None: none does")
    bias: bool = True
    position: PositionSettings = NoPositionSettings()

    @model_validator(mode="after")
    def _one_flag_per_axis(self) -> "PatchEmbeddingSettings":
        if self.periodic is not None and len(self.periodic) != len(self.patch):
            raise ValueError(f"periodic has {len(self.periodic)} flags for {len(self.patch)} axes of patch")
        return self


class ObservationEmbeddingSettings(Settings):
    """Each irregular observation becomes a token: its features, which channel it is of, and when it was made."""

    kind: Literal["observation"] = "observation"
    features: PositiveInt = Field(description="continuous features of each observation (value, error, ...)")
    channels: PositiveInt = Field(description="number of channels (bands, sensors)")
    hidden: PositiveInt | None = Field(
        default=None, description="hidden width of the features' map; None: it is linear"
    )
    time: ContinuousTimeSettings = ContinuousTimeSettings()


EmbeddingSettings = Annotated[
    LinearEmbeddingSettings | ConvEmbeddingSettings | PatchEmbeddingSettings | ObservationEmbeddingSettings,
    Field(discriminator="kind"),
]
