"""Settings of the separation networks. Free of torch."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from armillary.core.config import Settings
from armillary.core.config.trunk import TrunkSettings

StepNorm = Literal["global", "step"]


class FilterbankSettings(Settings):
    """Encoder and decoder of the published networks: learned strided convolutions without bias."""

    kind: Literal["learned"] = "learned"
    filters: PositiveInt = Field(default=512, description="features that a step of the encoder has")
    kernel: PositiveInt = Field(default=16, description="samples that a filter sees")
    stride: PositiveInt = Field(default=8, description="samples between steps")
    relu: bool = Field(default=True, description="rectify the encoder's features; Conv-TasNet leaves them as they are")

    @model_validator(mode="after")
    def _no_gaps(self) -> "FilterbankSettings":
        if self.kernel < self.stride:
            raise ValueError(
                f"kernel={self.kernel} is shorter than stride={self.stride}, so samples would be passed over; "
                "expected kernel >= stride"
            )
        return self

    @property
    def bands(self) -> int:
        """Features of a step that a mask has a value for."""
        return self.filters


class FourierSettings(Settings):
    """Short-time Fourier transform and its inverse, with square roots of Hann windows; nothing is learned.

    A mask has one real value a frequency and is made from the logarithm of the amplitudes.
    """

    kind: Literal["fourier"] = "fourier"
    kernel: PositiveInt = Field(default=256, description="samples in a window; even")
    stride: PositiveInt = Field(default=64, description="samples between windows; divides a half of one")

    @model_validator(mode="after")
    def _windows_sum_to_one(self) -> "FourierSettings":
        if self.kernel % 2 or self.kernel % self.stride or self.kernel < 2 * self.stride:
            raise ValueError(
                f"kernel={self.kernel} and stride={self.stride} do not add up to a constant; expected an even kernel "
                "that is a multiple of the stride, twice at least"
            )
        return self

    @property
    def bands(self) -> int:
        """Frequencies."""
        return self.kernel // 2 + 1


BankSettings = Annotated[FilterbankSettings | FourierSettings, Field(discriminator="kind")]


class MaskTrunkSettings(Settings):
    """Encoder, a mask for each voice from a trunk of the core, decoder: MossFormer's frame around any mixers."""

    kind: Literal["mask_trunk"] = "mask_trunk"
    filterbank: BankSettings = FilterbankSettings()
    trunk: TrunkSettings
    positions: bool = Field(default=True, description="add sines of the step's number, with one learned scale")
    norm: StepNorm = Field(
        default="global",
        description="norms before and after the trunk: over all steps and features, or each step by itself (causal)",
    )

    @property
    def causal(self) -> bool:
        """Whether no step may see later ones."""
        return self.norm == "step"


class ConvTasNetSettings(Settings):
    """Conv-TasNet: dilated depth-wise convolutions between the same encoder and decoder."""

    kind: Literal["conv_tasnet"] = "conv_tasnet"
    filterbank: FilterbankSettings = FilterbankSettings(relu=False)
    bottleneck: PositiveInt = Field(default=128, description="features between the blocks")
    hidden: PositiveInt = Field(default=512, description="features inside of a block")
    skip: PositiveInt = Field(default=128, description="features of the skip paths")
    kernel: PositiveInt = 3
    blocks: PositiveInt = Field(default=8, description="blocks in a repeat, with dilations 1, 2, 4, ...")
    repeats: PositiveInt = 3
    norm: StepNorm = Field(default="global", description="step: causal, each step by itself")

    @property
    def causal(self) -> bool:
        """Whether no step may see later ones."""
        return self.norm == "step"


SystemSettings = Annotated[MaskTrunkSettings | ConvTasNetSettings, Field(discriminator="kind")]
