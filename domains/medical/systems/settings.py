"""Settings of the networks. Free of torch. Images are (b, c, rows, columns) or (b, c, planes, rows, columns)."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, PositiveInt, model_validator

from armillary.core.config import Settings
from armillary.core.config.trunk import TrunkSettings

_TELL = ("labels", "classes")


class ViTSettings(Settings):
    """Vision transformer: patches, a class token, fixed sine and cosine positions, pre-norm attention.

    ViT-S/16 has width 384 and 6 heads, ViT-B/16 width 768 and 12.
    """

    kind: Literal["vit"] = "vit"
    tasks: ClassVar[tuple[str, ...]] = _TELL
    patch: PositiveInt = 16
    width: PositiveInt = 384
    depth: PositiveInt = 12
    heads: PositiveInt = 6
    drop_path: float = Field(default=0.0, ge=0, lt=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    pooling: Literal["mean", "class"] = Field(
        default="mean", description="mean of the patches, then a norm; or the class token behind one"
    )
    layer_decay: float = Field(
        default=1.0, gt=0, le=1, description="rate of learning of a layer over that of the layer above it"
    )


class MAESettings(Settings):
    """Masked auto-encoder: a ViT on the patches that are left, a small decoder, pixels of the hidden ones."""

    kind: Literal["mae"] = "mae"
    tasks: ClassVar[tuple[str, ...]] = ("pretrain",)
    encoder: ViTSettings = ViTSettings()
    ratio: float = Field(default=0.9, gt=0, lt=1, description="share of the patches that are hidden")
    decoder_width: PositiveInt = 512
    decoder_depth: PositiveInt = Field(default=2, description="2 beside ViT-S, 8 beside ViT-B")
    decoder_heads: PositiveInt = 16
    normalised_target: bool = Field(default=False, description="predict each patch without its own mean and deviation")


class VimSettings(Settings):
    """Vision Mamba: patches, the class token in their middle, forward and backward scans averaged."""

    kind: Literal["vim"] = "vim"
    tasks: ClassVar[tuple[str, ...]] = _TELL
    patch: PositiveInt = 16
    stride: PositiveInt | None = Field(default=None, description="of the patches; None: their side")
    width: PositiveInt = 192
    depth: PositiveInt = 24
    state: PositiveInt = 16
    drop_path: float = Field(default=0.1, ge=0, lt=1)


class VMambaSettings(Settings):
    """VMamba of the second generation: convolutional stem and down-sampling, cross scans and MLPs in four stages."""

    kind: Literal["vmamba"] = "vmamba"
    tasks: ClassVar[tuple[str, ...]] = _TELL
    widths: tuple[PositiveInt, ...] = (96, 192, 384, 768)
    depths: tuple[PositiveInt, ...] = (2, 2, 8, 2)
    state: PositiveInt = 1
    expand: PositiveInt = 1
    drop_path: float = Field(default=0.2, ge=0, lt=1)


class MedMambaSettings(Settings):
    """MedMamba: patches of 4, SS-Conv-SSM blocks, merging between stages."""

    kind: Literal["medmamba"] = "medmamba"
    tasks: ClassVar[tuple[str, ...]] = _TELL
    patch: PositiveInt = 4
    widths: tuple[PositiveInt, ...] = (96, 192, 384, 768)
    depths: tuple[PositiveInt, ...] = (2, 2, 4, 2)
    state: PositiveInt = 16
    drop_path: float = Field(default=0.1, ge=0, lt=1)


class DenseNetSettings(Settings):
    """DenseNet-121 (MONAI's): the classical classifier of chest films."""

    kind: Literal["densenet"] = "densenet"
    tasks: ClassVar[tuple[str, ...]] = _TELL
    dropout: float = Field(default=0.0, ge=0, lt=1)


class StagesSettings(Settings):
    """A convolutional stem, a trunk of any mixers on the grid, pooling: small images, and any mixer of the core."""

    kind: Literal["stages"] = "stages"
    tasks: ClassVar[tuple[str, ...]] = _TELL
    stem: PositiveInt = Field(default=2, description="side of the stem's steps; its convolution sees one pixel more")
    trunk: TrunkSettings
    positions: bool = Field(
        default=True, description="add sines and cosines of the place, for mixers that see no order (attention)"
    )
    dropout: float = Field(default=0.0, ge=0, lt=1)


class VMUNetSettings(Settings):
    """VM-UNet: gated cross scans down and up, skips by addition."""

    kind: Literal["vm_unet"] = "vm_unet"
    tasks: ClassVar[tuple[str, ...]] = ("masks",)
    patch: PositiveInt = 4
    widths: tuple[PositiveInt, ...] = (96, 192, 384, 768)
    depths: tuple[PositiveInt, ...] = (2, 2, 2, 2)
    decoder_depths: tuple[PositiveInt, ...] = Field(default=(2, 2, 2, 1), description="from the coarsest to the finest")
    state: PositiveInt = 16
    drop_path: float = Field(default=0.2, ge=0, lt=1)

    @model_validator(mode="after")
    def _one_entry_a_stage(self) -> "VMUNetSettings":
        counts = {name: len(getattr(self, name)) for name in ("widths", "depths", "decoder_depths")}
        if len(set(counts.values())) > 1:
            raise ValueError(f"expected one entry a stage in each, got {counts}")
        return self


class UMambaSettings(Settings):
    """U-Mamba: nnU-Net's residual convolutions, a Mamba layer at the bottom ('bot') or behind every stage ('enc')."""

    kind: Literal["u_mamba"] = "u_mamba"
    tasks: ClassVar[tuple[str, ...]] = ("masks",)
    variant: Literal["bot", "enc"] = "enc"
    widths: tuple[PositiveInt, ...] = (32, 64, 128, 256)
    blocks: tuple[PositiveInt, ...] = Field(default=(2, 2, 2, 2), description="residual blocks of each encoder stage")
    state: PositiveInt = 16
    norm: Literal["instance", "batch"] = Field(
        default="instance", description="an instance norm sees the part it is given: parts and whole images then differ"
    )

    @model_validator(mode="after")
    def _one_entry_a_stage(self) -> "UMambaSettings":
        if len(self.widths) != len(self.blocks):
            raise ValueError(
                f"expected one entry a stage in each, got {len(self.widths)} widths, {len(self.blocks)} blocks"
            )
        return self


class UNetSettings(Settings):
    """MONAI's BasicUNet: the peer of every segmenter."""

    kind: Literal["unet"] = "unet"
    tasks: ClassVar[tuple[str, ...]] = ("masks",)
    features: tuple[PositiveInt, ...] = Field(default=(32, 32, 64, 128, 256, 32), min_length=6, max_length=6)


SystemSettings = Annotated[
    ViTSettings
    | MAESettings
    | VimSettings
    | VMambaSettings
    | MedMambaSettings
    | DenseNetSettings
    | StagesSettings
    | VMUNetSettings
    | UMambaSettings
    | UNetSettings,
    Field(discriminator="kind"),
]
