"""The one-dimensional residual network of the over-the-air study."""

from jaxtyping import Float
from torch import Tensor, nn

from armillary.core.errors import ConfigError
from armillary.domains.modulation.systems.conv_norm import ConvNorm, fold_norms
from armillary.domains.modulation.systems.lengths import check_length
from armillary.domains.modulation.systems.settings import ResNetSettings

_DENSE = 128


class ResNet(nn.Module):
    """Residual stacks, each halving the length, then two dense layers, (b, 2, l) -> (b, k) for one l >= 2^stacks.

    A stack is a 1 x 1 convolution without activation, two residual units of two 3-convolutions, and a maximum over
    pairs. Six stacks are published for 1024 samples; four leave as many values at 128. Our convolutions are batch
    normed, which the published description leaves open. The dense layers are SELU with alpha dropout.

    References:
        O'Shea, Roy and Clancy 2018, "Over-the-air deep learning based radio signal classification", section III-E.
    """

    def __init__(self, settings: ResNetSettings, classes: int, length: int) -> None:
        super().__init__()
        left = length >> settings.stacks
        if not left:
            raise ConfigError(
                f"model.stacks={settings.stacks} halves frames of {length} samples to nothing; "
                f"set model.stacks to {length.bit_length() - 1} or fewer."
            )
        self.length = length
        width = settings.width
        self.stacks = nn.Sequential(*(_Stack(width if i else 2, width) for i in range(settings.stacks)))
        self.dense = nn.Sequential(
            nn.Linear(width * left, _DENSE), nn.SELU(), nn.AlphaDropout(settings.dropout),
            nn.Linear(_DENSE, _DENSE), nn.SELU(), nn.AlphaDropout(settings.dropout),
        )  # fmt: skip
        for layer in (self.dense[0], self.dense[3]):
            # Self-normalising layers need weights of variance 1 / inputs.
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")  # pyright: ignore[reportArgumentType]
        self.head = nn.Linear(_DENSE, classes)

    def forward(self, iq: Float[Tensor, "b 2 l"]) -> Float[Tensor, "b k"]:
        return self.head(self.features(iq))

    def features(self, iq: Float[Tensor, "b 2 l"]) -> Float[Tensor, "b f"]:
        """What the last linear map reads."""
        check_length(iq, self.length, "resnet")
        return self.dense(self.stacks(iq).flatten(1))

    def after_step(self) -> None:
        """Folds the batch norms' moments."""
        fold_norms(self)


class _Stack(nn.Module):
    """1 x 1 convolution, two residual units, maximum over pairs of samples."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.mix = ConvNorm(inputs, width, 1)
        self.units = nn.Sequential(_Unit(width), _Unit(width))
        self.pool = nn.MaxPool1d(2)

    def forward(self, values: Float[Tensor, "b c l"]) -> Float[Tensor, "b d m"]:
        return self.pool(self.units(self.mix(values)))


class _Unit(nn.Module):
    """relu(x + two 3-convolutions of x)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = ConvNorm(width, width, 3, activation=nn.ReLU())
        self.second = ConvNorm(width, width, 3)

    def forward(self, values: Float[Tensor, "b c l"]) -> Float[Tensor, "b c l"]:
        return (values + self.second(self.first(values))).relu()
