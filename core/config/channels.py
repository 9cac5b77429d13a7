"""Settings of the channel mixers."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from armillary.core.config.settings import Settings

Activation = Literal["relu", "gelu", "silu"]


class MLPSettings(Settings):
    """Two linear maps with an activation between them. `hidden` wins over `ratio` when both are given."""

    kind: Literal["mlp"] = "mlp"
    ratio: PositiveFloat = Field(default=4.0, description="hidden width as a multiple of the width")
    hidden: PositiveInt | None = Field(default=None, description="hidden width; None: ratio times the width")
    activation: Activation = "gelu"
    dropout: float = Field(default=0.0, ge=0, lt=1, description="on the hidden features")
    bias: bool = True


class GLUSettings(Settings):
    """A gated pair of linear maps and a third one: (act(x Wa) * x Wb) Wc."""

    kind: Literal["glu"] = "glu"
    hidden: PositiveInt | None = Field(
        default=None, description="hidden width; None: 8/3 of the width rounded up to 64"
    )
    activation: Activation = "silu"
    dropout: float = Field(default=0.0, ge=0, lt=1, description="on the hidden features")
    bias: bool = False


ChannelSettings = Annotated[MLPSettings | GLUSettings, Field(discriminator="kind")]
