"""Settings of every token mixer, free of torch. Sizes left at None follow from the width."""

from typing import Annotated, Literal, cast

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from armillary.core.config.channels import Activation
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
    chunk: PositiveInt | None = Field(
        default=None, description="tokens between stored states; None: what suits the device"
    )
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


class SpectralSettings(Settings):
    """Learned filter per channel in the Fourier domain of a grid of one to three axes, or of a sequence."""

    kind: Literal["spectral"] = "spectral"
    extents: tuple[PositiveInt, ...] = Field(
        default=(64,),
        min_length=1,
        max_length=3,
        description="grid whose modes the filter has; other grids take the modes they share, the rest is removed",
    )
    std: PositiveFloat = Field(default=0.02, description="of the filter's real and imaginary parts at first")


class LegendreSettings(Settings):
    """Legendre memory: the last `theta` tokens of one learned signal, as `order` Legendre coefficients. Causal."""

    kind: Literal["legendre"] = "legendre"
    order: PositiveInt = 64
    theta: PositiveFloat = Field(default=64.0, description="length of the remembered window [tokens]")
    activation: Activation = "relu"


class URPESettings(Settings):
    """Attention whose weights are multiplied by a learned factor of the distance, after the softmax (URPE)."""

    kind: Literal["urpe"] = "urpe"
    heads: PositiveInt = 4
    causal: bool = False
    bias: bool = Field(default=True, description="biases in the four projections")
    distance_bias: bool = Field(default=False, description="also add a learned term of the distance to the logits")
    reach: PositiveInt = Field(default=64, description="distances told apart on each side; longer ones share the last")
    distance: Literal["tokens", "positions"] = Field(
        default="tokens", description="count tokens, or take the difference of the first coordinate of the positions"
    )
    shortest: PositiveFloat = Field(
        default=1.0, description="positions: differences below it count as none [unit of the positions]"
    )
    longest: PositiveFloat = Field(
        default=1000.0, description="positions: from here on all are alike; between, equal ratios [unit of positions]"
    )

    @model_validator(mode="after")
    def _ordered_distances(self) -> "URPESettings":
        if self.shortest >= self.longest:
            raise ValueError(
                f"shortest={self.shortest} is not below longest={self.longest}; expected shortest < longest"
            )
        return self


class GridSettings(Settings):
    """What mixers of windows on a grid have in common: the number of its axes."""

    rank: Literal[1, 2, 3] | None = Field(
        default=None, description="axes of the grid; None: any, where no parameter depends on their number"
    )

    @property
    def ranks(self) -> tuple[int, ...]:
        """Numbers of axes that it reads."""
        return (1, 2, 3) if self.rank is None else (self.rank,)

    def _need_rank(self, name: str, value: object) -> None:
        if self.rank is None:
            raise ValueError(f"{name}={value} depends on the number of axes, got rank=None; set rank to 1, 2 or 3")


class NeighbourhoodSettings(GridSettings):
    """Attention to the nearest tokens along each axis of a grid, or of a sequence (NAT, DiNAT)."""

    kind: Literal["neighbourhood"] = "neighbourhood"
    heads: PositiveInt = 4
    window: PositiveInt | tuple[PositiveInt, ...] = Field(
        default=7, description="tokens seen along each axis; one number for all, or one for each"
    )
    dilation: PositiveInt | tuple[PositiveInt, ...] = Field(default=1, description="step between tokens seen [tokens]")
    causal: bool | tuple[bool, ...] = Field(default=False, description="see no later token along these axes")
    bias: bool = Field(default=True, description="biases in the four projections")
    relative_bias: bool = Field(default=False, description="add a learned number per head and offset; needs rank")

    @model_validator(mode="after")
    def _one_entry_an_axis(self) -> "NeighbourhoodSettings":
        for name in ("window", "dilation", "causal"):
            value = getattr(self, name)
            if isinstance(value, tuple):
                self._need_rank(name, cast(object, value))
                if len(cast(tuple[int, ...], value)) != self.rank:
                    raise ValueError(f"{name}={value} does not have one entry for each of rank={self.rank} axes")
        if self.relative_bias:
            self._need_rank("relative_bias", True)
        return self


def dilated_pattern(
    local: NeighbourhoodSettings, extents: tuple[int, ...]
) -> tuple[NeighbourhoodSettings, NeighbourhoodSettings]:
    """The settings, then the same with the widest dilation that fits: floor(extent / window) along each axis.

    Two blocks of this pattern see what is near and then the whole grid of a stage with these extents.

    References:
        Hassani and Shi 2022, "Dilated neighborhood attention transformer", section 3.
    """
    windows = local.window if isinstance(local.window, tuple) else (local.window,) * len(extents)
    dilation = tuple(max(1, extent // window) for extent, window in zip(extents, windows, strict=True))
    wide = local.model_dump() | {"rank": len(extents), "dilation": dilation}
    return local, NeighbourhoodSettings.model_validate(wide)


class WindowSettings(GridSettings):
    """Attention within windows that tile a grid, moved by half a window in every second block (Swin)."""

    kind: Literal["window"] = "window"
    rank: Literal[1, 2, 3] | None = Field(
        default=2, description="axes of the grid; None, without relative_bias: any number"
    )
    heads: PositiveInt = 4
    window: PositiveInt = Field(default=7, description="extent of a window along every axis [tokens]")
    shift: bool = Field(default=False, description="move the windows by half of their extent")
    bias: bool = Field(default=True, description="biases in the four projections")
    relative_bias: bool = Field(default=True, description="add a learned number per head and offset")

    @model_validator(mode="after")
    def _rank_of_the_table(self) -> "WindowSettings":
        if self.relative_bias:
            self._need_rank("relative_bias", True)
        return self


class ManhattanSettings(GridSettings):
    """Attention that decays with the distance along the axes of a grid (RMT)."""

    kind: Literal["manhattan"] = "manhattan"
    rank: Literal[1, 2, 3] | None = Field(default=2, description="axes of the grid; None, with local=0: any number")
    heads: PositiveInt = 4
    decomposed: bool = Field(default=True, description="one axis after the other, instead of all pairs of tokens")
    decay: Literal["logit", "product"] = Field(
        default="logit", description="add log-decay before the softmax (released code), or multiply after it (paper)"
    )
    decay_initial: float = Field(default=2.0, gt=0, description="decay of the first head is 1 - 2^-decay_initial")
    decay_range: float = Field(default=4.0, ge=0, description="exponents of the heads lie this far apart at most")
    rotary: bool = Field(default=True, description="rotate queries and keys by their row-major index")
    rotary_base: PositiveFloat = 10000.0
    local: int = Field(
        default=5, ge=0, description="extent of the depthwise convolution of the values; odd, or 0 for none [tokens]"
    )
    bias: bool = Field(default=True, description="biases in the four projections")

    @model_validator(mode="after")
    def _kernel_of_the_convolution(self) -> "ManhattanSettings":
        if self.local and self.local % 2 == 0:
            raise ValueError(f"local={self.local} has no centre token; expected an odd number, or 0 for none")
        if self.local:
            self._need_rank("local", self.local)
        return self


class CrossScanSettings(StepSizeSettings):
    """Selective scans along every axis of a grid, in both directions (VMamba, second generation unless gated)."""

    kind: Literal["cross_scan"] = "cross_scan"
    rank: Literal[1, 2, 3] = Field(default=2, description="axes of the grid; a sequence has 1")
    axis: Annotated[int, Field(ge=0, le=2)] | None = Field(
        default=None, description="scan along this axis only, forwards and backwards; None: along every axis"
    )
    state: PositiveInt = 1
    expand: PositiveInt = 2
    conv: PositiveInt = Field(default=3, description="extent of the depthwise convolution; odd [tokens]")
    dt_rank: PositiveInt | None = Field(
        default=None, description="rank of the step-size projection; None: ceil(width / 16)"
    )
    gate: bool = Field(default=False, description="multiply by silu of a second projection (first generation)")
    chunk: PositiveInt | None = Field(
        default=None, description="tokens between stored states; None: what suits the device"
    )

    @model_validator(mode="after")
    def _fits_its_grid(self) -> "CrossScanSettings":
        if self.axis is not None and self.axis >= self.rank:
            raise ValueError(f"axis={self.axis} is none of the axes 0 to {self.rank - 1} that rank={self.rank} gives")
        if self.conv % 2 == 0:
            raise ValueError(f"conv={self.conv} has no centre token; expected an odd number")
        return self


class MedMambaSettings(Settings):
    """Half of the features through convolutions, half through a gated cross scan (MedMamba). The width is even."""

    kind: Literal["medmamba"] = "medmamba"
    scan: CrossScanSettings = CrossScanSettings(state=16, gate=True)


class RetentionSettings(Settings):
    """Attention with a fixed decay in every head instead of a softmax (RetNet). The width is a multiple of `heads`."""

    kind: Literal["retention"] = "retention"
    heads: PositiveInt = 4
    causal: bool = Field(default=True, description="see earlier tokens only; else all, weaker with distance")
    expand: PositiveInt = Field(
        default=1, description="width of values and gate over the width; 2 in the paper's models"
    )
    rotary: bool = Field(default=True, description="rotate queries and keys by the number of the token")
    rotary_base: PositiveFloat = 10000.0
    chunk: PositiveInt | None = Field(default=None, description="tokens per chunk; None: what suits the device")


class PSCASettings(Settings):
    """Attention with convolutional projections beside a gate of the channels (ClST). `heads` divides the width."""

    kind: Literal["psca"] = "psca"
    heads: PositiveInt = 4
    kernel: PositiveInt = Field(default=3, description="tokens that a projection sees; odd")
    stride: PositiveInt = Field(default=2, description="tokens for each key and value")
    ratio: PositiveInt = Field(default=8, description="width over the hidden width of the channels' gate")

    @model_validator(mode="after")
    def _sees_its_tokens(self) -> "PSCASettings":
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel={self.kernel} has no centre token; expected an odd number")
        return self


class GatedAttentionSettings(Settings):
    """Attention without softmax, quadratic in groups and linear beyond, gated thrice (MossFormer)."""

    kind: Literal["gated_attention"] = "gated_attention"
    query_width: PositiveInt = Field(default=128, description="features of queries and keys")
    expand: PositiveInt = Field(default=4, description="features that attention mixes, over the width; half are gates")
    group: PositiveInt = Field(default=256, description="tokens that see each other exactly; others by sums")
    kernel: PositiveInt = Field(default=17, description="tokens that the convolution in a projection sees; odd")
    rotary_width: PositiveInt = Field(default=32, description="features of queries and keys that turn with the token")
    rotary_base: PositiveFloat = 10000.0
    token_shift: bool = Field(default=True, description="take half of the features from the token before")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="behind every projection while training")
    attention_dropout: float = Field(default=0.1, ge=0, lt=1, description="of the weights in groups while training")
    causal: bool = Field(default=False, description="see earlier tokens only, and sums of earlier groups")

    @model_validator(mode="after")
    def _sees_its_tokens(self) -> "GatedAttentionSettings":
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel={self.kernel} has no centre token; expected an odd number")
        if self.rotary_width > self.query_width:
            raise ValueError(
                f"rotary_width={self.rotary_width} is above query_width={self.query_width}; expected at most as many"
            )
        return self


class FSMNSettings(Settings):
    """Gated memory of near tokens: dilated depth-wise convolutions in a dense stack (MossFormer2)."""

    kind: Literal["fsmn"] = "fsmn"
    inner: PositiveInt = Field(default=256, description="features inside of the module")
    kernel: PositiveInt = Field(default=39, description="taps of a convolution of the memory; odd")
    depth: PositiveInt = Field(default=2, description="convolutions of the memory, with dilations 1, 2, 4, ...")
    conv: PositiveInt = Field(default=17, description="tokens that the convolution in a projection sees; odd")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="behind the two projections while training")
    causal: bool = Field(
        default=False, description="look back only; norms of the memory are then over a token's features"
    )

    @model_validator(mode="after")
    def _sees_its_tokens(self) -> "FSMNSettings":
        for name in ("kernel", "conv"):
            taps = cast(int, getattr(self, name))
            if taps % 2 == 0:
                raise ValueError(f"{name}={taps} has no centre token; expected an odd number")
        return self


MixerSettings = Annotated[
    AttentionSettings
    | MambaSettings
    | Mamba2Settings
    | PoolingSettings
    | SpectralSettings
    | LegendreSettings
    | URPESettings
    | NeighbourhoodSettings
    | WindowSettings
    | ManhattanSettings
    | CrossScanSettings
    | MedMambaSettings
    | RetentionSettings
    | PSCASettings
    | GatedAttentionSettings
    | FSMNSettings,
    Field(discriminator="kind"),
]
