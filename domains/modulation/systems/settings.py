"""Settings of the networks. Free of torch. Every network maps frames (b, 2, l) of unit power to class scores (b, k)."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from armillary.core.config import Settings
from armillary.core.config.mixers import MixerSettings
from armillary.core.config.trunk import TrunkSettings


class ClSTSettings(Settings):
    """Convolution-linked signal transformer: stages of convolutional embedding and blocks of parallel attention.

    One entry a stage in widths, depths, heads and kernels. A `pattern` replaces the mixers of every stage.
    """

    kind: Literal["clst"] = "clst"
    widths: tuple[PositiveInt, ...] = (48, 96, 192)
    depths: tuple[PositiveInt, ...] = (1, 2, 2)
    heads: tuple[PositiveInt, ...] = (1, 3, 6)
    kernels: tuple[PositiveInt, ...] = Field(default=(7, 3, 3), description="of the convolutional embeddings; odd")
    pattern: tuple[MixerSettings, ...] = Field(
        default=(), description="mixers of every stage, repeated over its depth; empty: parallel attention"
    )
    ratio: PositiveFloat = Field(
        default=2.0, description="hidden width of the feed-forward part over the width; with 4, above 1 M parameters"
    )
    dropout: float = Field(default=0.0, ge=0, lt=1)
    drop_path: float = Field(default=0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _one_entry_a_stage(self) -> "ClSTSettings":
        sizes = {name: len(getattr(self, name)) for name in ("widths", "depths", "heads", "kernels")}
        if len(set(sizes.values())) > 1:
            raise ValueError(f"expected one entry a stage in each, got {sizes}")
        for width, heads in zip(self.widths, self.heads, strict=True):
            if width % heads:
                raise ValueError(f"width {width} is no multiple of its {heads} heads")
        return self


class SequenceSettings(Settings):
    """A strided convolution to tokens, a trunk of any mixers, pooling: the recipe of state-space models."""

    kind: Literal["sequence"] = "sequence"
    kernel: PositiveInt = 7
    stride: PositiveInt = 2
    trunk: TrunkSettings
    pooling: Literal["mean", "last", "attention"] = "mean"


class MCLDNNSettings(Settings):
    """Multi-channel convolutional LSTM network: 406,199 parameters for 11 classes of 128 samples."""

    kind: Literal["mcldnn"] = "mcldnn"
    dropout: float = Field(default=0.5, ge=0, lt=1)


class PETCGDNNSettings(Settings):
    """Phase estimation, convolutions and a GRU: 71,871 parameters for 11 classes of 128 samples."""

    kind: Literal["pet_cgdnn"] = "pet_cgdnn"


class ResNetSettings(Settings):
    """One-dimensional residual network in stacks of two units, each stack halving the length."""

    kind: Literal["resnet"] = "resnet"
    width: PositiveInt = 32
    stacks: PositiveInt = Field(default=4, description="times that the length is halved")
    dropout: float = Field(default=0.3, ge=0, lt=1)


class LSTM2Settings(Settings):
    """Two LSTM layers over amplitude and phase."""

    kind: Literal["lstm2"] = "lstm2"
    hidden: PositiveInt = 128
    dropout: float = Field(default=0.0, ge=0, lt=1)


class KDCNNSettings(Settings):
    """The small convolutional student."""

    kind: Literal["kd_cnn"] = "kd_cnn"
    dropout: float = Field(default=0.0, ge=0, lt=1)


class KDMobileNetSettings(Settings):
    """The small student of inverted residual blocks."""

    kind: Literal["kd_mobilenet"] = "kd_mobilenet"
    width_factor: PositiveFloat = 0.5
    dropout: float = Field(default=0.0, ge=0, lt=1)


SystemSettings = Annotated[
    ClSTSettings
    | SequenceSettings
    | MCLDNNSettings
    | PETCGDNNSettings
    | ResNetSettings
    | LSTM2Settings
    | KDCNNSettings
    | KDMobileNetSettings,
    Field(discriminator="kind"),
]
