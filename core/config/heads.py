"""Settings of the heads."""

from typing import Literal

from pydantic import Field, PositiveInt

from armillary.core.config.settings import Settings


class PooledSettings(Settings):
    """Tokens are pooled to one vector, which a linear map turns into class scores."""

    kind: Literal["pooled"] = "pooled"
    classes: PositiveInt
    pooling: Literal["mean", "last", "attention"] = "mean"
    dropout: float = Field(default=0.0, ge=0, lt=1, description="on the pooled vector")


HeadSettings = PooledSettings
