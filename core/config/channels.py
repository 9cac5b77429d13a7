"""Settings of the channel mixers."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

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


class RationalSettings(Settings):
    """Two linear maps, each behind a learned quotient of polynomials: fc2(r2(fc1(r1(x)))).

    r1 starts as the identity and r2 as the activation named; their coefficients take no weight decay.
    """

    kind: Literal["rational"] = "rational"
    ratio: PositiveFloat = Field(default=4.0, description="hidden width as a multiple of the width")
    hidden: PositiveInt | None = Field(default=None, description="hidden width; None: ratio times the width")
    activation: Activation = Field(default="gelu", description="what r2 starts as")
    groups: PositiveInt = Field(default=8, description="groups of channels with a denominator of their own")
    form: Literal["A", "B"] = Field(
        default="A", description="denominator: A, 1 + sum |b_j||x|^j; B, 1 + |sum b_j x^j|, for foreign weights"
    )
    dropout: float = Field(default=0.0, ge=0, lt=1, description="on the hidden features")
    bias: bool = True


class PolySettings(Settings):
    """Two linear maps with a learned cubic between them; gated: the cubic of one half times the other half."""

    kind: Literal["poly"] = "poly"
    ratio: PositiveFloat = Field(
        default=4.0, description="hidden width as a multiple of the width; gated, 8/3 weighs what 4 does plain"
    )
    hidden: PositiveInt | None = Field(default=None, description="hidden width; None: ratio times the width")
    activation: Literal["polynorm", "polyrelu"] = "polynorm"
    gated: bool = False
    dropout: float = Field(default=0.0, ge=0, lt=1, description="on the hidden features")
    bias: bool = True


class ConvMLPSettings(Settings):
    """Two linear maps, between them a depth-wise convolution over neighbouring tokens and an activation."""

    kind: Literal["conv_mlp"] = "conv_mlp"
    ratio: PositiveFloat = Field(default=4.0, description="hidden width as a multiple of the width")
    hidden: PositiveInt | None = Field(default=None, description="hidden width; None: ratio times the width")
    kernel: PositiveInt = Field(default=3, description="tokens that the convolution sees; odd")
    activation: Activation = "gelu"
    dropout: float = Field(default=0.0, ge=0, lt=1, description="on the hidden features")
    bias: bool = True

    @model_validator(mode="after")
    def _centred(self) -> "ConvMLPSettings":
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel={self.kernel} has no centre token; expected an odd number")
        return self


ChannelSettings = Annotated[
    MLPSettings | GLUSettings | RationalSettings | PolySettings | ConvMLPSettings, Field(discriminator="kind")
]
