"""Settings of a trunk: stages of blocks, each a pattern of mixers repeated over the depth."""

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from armillary.core.config.channels import ChannelSettings, MLPSettings
from armillary.core.config.mixers import MixerSettings
from armillary.core.config.norms import LayerNormSettings, NormSettings
from armillary.core.config.settings import Settings


class StageSettings(Settings):
    """Blocks at one resolution. Block i mixes tokens with pattern[i % len(pattern)]."""

    depth: PositiveInt
    pattern: tuple[MixerSettings, ...] = Field(min_length=1)
    width: PositiveInt | None = Field(default=None, description="None: the width of the stage before, or of the trunk")
    resample: Literal["none", "down2", "up2"] = Field(
        default="none",
        description="before the blocks: down2 merges two neighbours per axis, up2 splits each token in two",
    )


class TrunkSettings(Settings):
    """Embedded tokens to mixed tokens.

    One stage is written as `depth` and `pattern`, several as `stages`; one of both is given, never both.
    The rate of drop path grows linearly from zero at the first block to `drop_path` at the last.
    """

    width: PositiveInt
    depth: PositiveInt | None = Field(
        default=None, description="blocks of the only stage; None: one for each of `pattern`"
    )
    pattern: tuple[MixerSettings, ...] = Field(
        default=(), description="mixers of the only stage, repeated over the depth"
    )
    stages: tuple[StageSettings, ...] = ()
    channel: ChannelSettings | None = MLPSettings()
    norm: NormSettings = LayerNormSettings()
    placement: Literal["pre", "post", "parallel"] = "pre"
    dropout: float = Field(default=0.0, ge=0, lt=1, description="on the output of every branch")
    dropout_shared: bool = Field(
        default=False, description="one dropout mask for all tokens of an item: cheaper, and the same at each token"
    )
    drop_path: float = Field(default=0.0, ge=0, lt=1, description="chance that the last block's branches skip an item")
    residual_scale: PositiveFloat | None = Field(
        default=None, description="initial learned scale of branches; None: no scale"
    )
    tied: PositiveInt = Field(default=1, description="times that each block is applied, with the same weights")
    final_norm: bool = True
    grid_rank: int = Field(default=1, ge=1, le=3, description="axes that down2 and up2 act on")
    checkpoint: bool = Field(
        default=False, description="recompute each block in the backward pass instead of keeping it"
    )

    @model_validator(mode="after")
    def _one_way_to_give_stages(self) -> "TrunkSettings":
        if bool(self.stages) == bool(self.pattern):
            given = "both" if self.stages else "neither"
            raise ValueError(f"a trunk needs either 'pattern' (one stage) or 'stages', got {given}; give one of them")
        if self.stages and self.depth is not None:
            raise ValueError(f"depth={self.depth} has no effect beside 'stages'; set the depth of each stage instead")
        return self

    @model_validator(mode="after")
    def _moments_of_one_application(self) -> "TrunkSettings":
        if self.tied > 1 and self.norm.kind == "batch":
            raise ValueError(
                f"norm 'batch' keeps one set of running moments, but tied={self.tied} applications have their own; "
                "choose another norm or tied=1"
            )
        return self

    @property
    def all_stages(self) -> tuple[StageSettings, ...]:
        """The stages, whichever way they were given."""
        return self.stages or (StageSettings(depth=self.depth or len(self.pattern), pattern=self.pattern),)
