"""Settings of the norms."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat

from armillary.core.config.settings import Settings


class LayerNormSettings(Settings):
    """Zero mean and unit variance over the features of each token."""

    kind: Literal["layer"] = "layer"
    eps: PositiveFloat = 1e-5
    bias: bool = True


class RMSNormSettings(Settings):
    """Unit root mean square over the features of each token."""

    kind: Literal["rms"] = "rms"
    eps: PositiveFloat = 1e-6


class ScaleNormSettings(Settings):
    """Unit length over the features of each token, times one learned number."""

    kind: Literal["scale"] = "scale"
    eps: PositiveFloat = 1e-6


class BatchNormSettings(Settings):
    """Zero mean and unit variance of each feature over all real tokens of the batch."""

    kind: Literal["batch"] = "batch"
    eps: PositiveFloat = 1e-5
    momentum: float = Field(default=0.1, gt=0, le=1, description="weight of the newest batch in the running moments")


class NoNormSettings(Settings):
    """No norm at all."""

    kind: Literal["none"] = "none"


NormSettings = Annotated[
    LayerNormSettings | RMSNormSettings | ScaleNormSettings | BatchNormSettings | NoNormSettings,
    Field(discriminator="kind"),
]
