"""Settings of a trunk: stages of blocks, each a pattern of mixers repeated over the depth."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from armillary.core.config.channels import ChannelSettings, MLPSettings
from armillary.core.config.mixers import MixerSettings
from armillary.core.config.norms import LayerNormSettings, NormSettings
from armillary.core.config.settings import Settings

_WITH_BATCH_NORMS = ("psca", "medmamba")  # mixers
Placement = Literal["pre", "post", "parallel", "single"]


class StageSettings(Settings):
    """Blocks at one resolution. Block i mixes tokens with pattern[i % len(pattern)], or not at all where that is null.

    Its features are mixed by channels[i % len(channels)], or not at all where that is null. So a layer of a hybrid that
    only mixes features has null in `pattern`, and one that only mixes tokens null in `channels`.
    """

    depth: PositiveInt
    pattern: tuple[MixerSettings | None, ...] = Field(min_length=1)
    channels: tuple[ChannelSettings | None, ...] = Field(
        default=(), description="channel mixers, repeated over the depth; empty: the trunk's in every block"
    )
    placement: Placement | None = Field(default=None, description="None: the placement of the trunk")
    width: PositiveInt | None = Field(default=None, description="None: the width of the stage before, or of the trunk")
    resample: Literal["none", "down2", "norm_down2", "up2", "conv2", "conv_norm2"] = Field(
        default="none",
        description="before the blocks: down2 merges two neighbours per axis, norm_down2 behind a layer norm, up2 "
        "splits each token in two, conv2 halves a sequence by an overlapping convolution with a batch norm, "
        "conv_norm2 every axis of a grid by one with a layer norm",
    )
    kernel: PositiveInt = Field(
        default=3, description="tokens that the convolution of conv2 or conv_norm2 sees along an axis; odd"
    )
    loops: PositiveInt = Field(default=1, description="times that the row of blocks is run, with the same weights")
    inject: bool = Field(default=False, description="before every loop but the first, add what entered the stage")

    @model_validator(mode="after")
    def _nothing_left_over(self) -> "StageSettings":
        _check_length("pattern", len(self.pattern), self.depth)
        _check_length("channels", len(self.channels), self.depth)
        return self

    @model_validator(mode="after")
    def _kernel_of_the_convolution(self) -> "StageSettings":
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel={self.kernel} has no centre token; expected an odd number")
        if self.resample not in ("conv2", "conv_norm2") and self.kernel != 3:
            raise ValueError(
                f"kernel={self.kernel} has no effect with resample={self.resample!r}; set it to 'conv2' or 'conv_norm2'"
            )
        return self

    @model_validator(mode="after")
    def _something_to_inject_into(self) -> "StageSettings":
        if self.inject and self.loops == 1:
            raise ValueError("inject=true has no effect with loops=1; set loops to 2 or more, or inject=false")
        return self

    def parts(self, channel: ChannelSettings | None) -> Iterator[tuple[MixerSettings | None, ChannelSettings | None]]:
        """Token mixer and channel mixer of every block, in order; `channel` is that of the trunk."""
        channels = self.channels or (channel,)
        for index in range(self.depth):
            yield self.pattern[index % len(self.pattern)], channels[index % len(channels)]


class TrunkSettings(Settings):
    """Embedded tokens to mixed tokens.

    One stage is written as `depth` and `pattern`, several as `stages`; one of both is given, never both.
    The rate of drop path grows linearly from zero at the first block to `drop_path` at the last.
    `tied` applies each block several times before the next one; `loops` of a stage runs all its blocks several times.
    """

    width: PositiveInt
    depth: PositiveInt | None = Field(
        default=None, description="blocks of the only stage; None: one for each of `pattern`"
    )
    pattern: tuple[MixerSettings | None, ...] = Field(
        default=(), description="mixers of the only stage, repeated over the depth; null: that block has none"
    )
    stages: tuple[StageSettings, ...] = ()
    channel: ChannelSettings | None = MLPSettings()
    norm: NormSettings = LayerNormSettings()
    placement: Placement = "pre"
    dropout: float = Field(default=0.0, ge=0, lt=1, description="on the output of every branch")
    dropout_shared: bool = Field(
        default=False, description="one dropout mask for all tokens of an item: cheaper, and the same at each token"
    )
    drop_path: float = Field(default=0.0, ge=0, lt=1, description="chance that the last block's branches skip an item")
    residual_scale: PositiveFloat | None = Field(
        default=None, description="initial learned scale of branches; None: no scale"
    )
    residual_scalars: bool = Field(
        default=False, description="learn one scalar for either side of every residual sum, one at first"
    )
    tied: PositiveInt = Field(default=1, description="times that each block is applied, with the same weights")
    projection: PositiveFloat | None = Field(
        default=None, description="hidden ratio of an untied MLP after each application of a block; None: no such MLP"
    )
    final_norm: bool = True
    grid_rank: int = Field(default=1, ge=1, le=3, description="axes that resampling acts on; conv2: one")
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
        _check_length("pattern", len(self.pattern), self.depth or len(self.pattern))
        return self

    @model_validator(mode="after")
    def _moments_of_one_application(self) -> "TrunkSettings":
        loops = max(stage.loops for stage in self.all_stages)
        if self.tied * loops > 1 and self.norm.kind == "batch":
            repeated = f"tied={self.tied}" if self.tied > 1 else f"loops={loops}"
            raise ValueError(
                f"norm 'batch' keeps one set of running moments, but {repeated} applications have their own; "
                f"choose another norm or {repeated.partition('=')[0]}=1"
            )
        return self

    @model_validator(mode="after")
    def _moments_inside_of_mixers(self) -> "TrunkSettings":
        for stage in self.all_stages:
            applications = self.tied * stage.loops
            kinds = [mixer.kind for mixer in stage.pattern if mixer is not None and mixer.kind in _WITH_BATCH_NORMS]
            if applications > 1 and kinds:
                raise ValueError(
                    f"the batch norms in {kinds[0]} keep one set of running moments, but {applications} applications "
                    "of a block have their own; choose another mixer or tied=1 and loops=1"
                )
        return self

    @model_validator(mode="after")
    def _no_empty_block(self) -> "TrunkSettings":
        for stage in self.all_stages:
            for index, (mixer, channel) in enumerate(stage.parts(self.channel)):
                if mixer is None and channel is None:
                    raise ValueError(
                        f"block {index} of a stage has neither a token mixer nor a channel mixer; "
                        "give it one of them in 'pattern' or in 'channels'"
                    )
        return self

    @property
    def all_stages(self) -> tuple[StageSettings, ...]:
        """The stages, whichever way they were given."""
        return self.stages or (StageSettings(depth=self.depth or len(self.pattern), pattern=self.pattern),)


def _check_length(name: str, count: int, depth: int) -> None:
    """Every mixer of a pattern has a block to stand in."""
    if count > depth:
        raise ValueError(
            f"{name} has {count} mixers for depth={depth}, so the last {count - depth} would never be built; "
            f"set the depth to {count} or more, or shorten {name}"
        )
