"""Settings of every token mixer, free of torch. Sizes left at None follow from the width."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from armillary.core.config.settings import Settings


class AttentionSettings(Settings):
    """Multi-head softmax attention. The width must be a multiple of `heads`."""

    kind: Literal["attention"] = "attention"
    heads: PositiveInt = 4
    causal: bool = False
    bias: bool = Field(default=True, description="biases in the four projections")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="dropout of the attention weights while training")
    rotary: bool = Field(default=False, description="rotate queries and keys by their positions")
    rotary_base: PositiveFloat = 10000.0


class StepSizeSettings(Settings):
    """Range of the state-space step size at initialisation, log-uniform between the two ends."""

    dt_min: PositiveFloat = 1e-3
    dt_max: PositiveFloat = 1e-1
    dt_floor: NonNegativeFloat = 1e-4

    @model_validator(mode="after")
    def _ordered(self) -> "StepSizeSettings":
        if self.dt_min > self.dt_max:
            raise ValueError(f"dt_min={self.dt_min} is above dt_max={self.dt_max}; expected dt_min <= dt_max")
        return self


class MambaSettings(StepSizeSettings):
    """Selective state space with a diagonal decay per channel (Mamba)."""

    kind: Literal["mamba"] = "mamba"
    state: PositiveInt = 16
    expand: PositiveInt = 2
    conv: PositiveInt = Field(default=4, description="width of the causal depthwise convolution [tokens]")
    dt_rank: PositiveInt | None = Field(
        default=None, description="rank of the step-size projection; None: ceil(width / 16)"
    )
    chunk: PositiveInt = Field(default=16, description="tokens between stored states")
    bidirectional: bool = Field(default=False, description="sum of a forward and a reverse scan; then not causal")


class Mamba2Settings(StepSizeSettings):
    """Selective state space with one decay per head (Mamba-2). width * expand must be a multiple of `head_width`."""

    kind: Literal["mamba2"] = "mamba2"
    head_width: PositiveInt = 64
    state: PositiveInt = 64
    groups: PositiveInt = Field(default=1, description="groups of heads that share B and C")
    expand: PositiveInt = 2
    conv: PositiveInt = Field(default=4, description="width of the causal depthwise convolution [tokens]")
    chunk: PositiveInt = Field(default=32, description="tokens per chunk; 32 to 64 suits a CPU, 256 a GPU")
    bidirectional: bool = Field(default=False, description="sum of a forward and a reverse scan; then not causal")


class PoolingSettings(Settings):
    """Mean of three neighbours less the token itself: the null mixer of an ablation."""

    kind: Literal["pooling"] = "pooling"
    causal: bool = Field(default=False, description="average this token and the two before it instead")


MixerSettings = Annotated[
    AttentionSettings | MambaSettings | Mamba2Settings | PoolingSettings, Field(discriminator="kind")
]
