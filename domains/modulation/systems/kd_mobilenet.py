"""KD-MobileNet: the small student of inverted residual blocks."""

from jaxtyping import Float
from torch import Tensor, nn

from armillary.domains.modulation.systems.conv_norm import ConvNorm, fold_norms
from armillary.domains.modulation.systems.settings import KDMobileNetSettings

_KERNEL = 5
_STEM, _LAST = 32, 256
# Widening, channels, blocks, stride of the first block: the published plan up to 96 channels, where 128 samples have
# become 16. Its last two stages would make up two thirds of the weights.
_PLAN = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 1, 1))


class KDMobileNet(nn.Module):
    """Inverted residual blocks over time, mean, a linear map; (b, 2, l) -> (b, k), any l.

    Our one-dimensional reading of MobileNetV2: depthwise kernels of 5 samples, no stride in the first convolution.

    References:
        Sandler et al. 2018, "MobileNetV2: inverted residuals and linear bottlenecks", table 2.
    """

    def __init__(self, settings: KDMobileNetSettings, classes: int, length: int) -> None:
        super().__init__()
        widths = [_scaled(_STEM, settings.width_factor)]
        blocks: list[nn.Module] = []
        for ratio, channels, count, stride in _PLAN:
            for place in range(count):
                blocks.append(
                    _Inverted(widths[-1], _scaled(channels, settings.width_factor), ratio, 1 if place else stride)
                )
                widths.append(_scaled(channels, settings.width_factor))
        last = _scaled(_LAST, settings.width_factor)
        self.stem = ConvNorm(2, widths[0], _KERNEL, activation=nn.ReLU6())
        self.blocks = nn.Sequential(*blocks)
        self.last = ConvNorm(widths[-1], last, 1, activation=nn.ReLU6())
        self.dropout = nn.Dropout(settings.dropout)
        self.head = nn.Linear(last, classes)

    def forward(self, iq: Float[Tensor, "b 2 l"]) -> Float[Tensor, "b k"]:
        return self.head(self.features(iq))

    def features(self, iq: Float[Tensor, "b 2 l"]) -> Float[Tensor, "b f"]:
        """What the last linear map reads."""
        return self.dropout(self.last(self.blocks(self.stem(iq))).mean(-1))

    def after_step(self) -> None:
        """Folds the batch norms' moments."""
        fold_norms(self)


class _Inverted(nn.Module):
    """x widened, convolved channel by channel, narrowed without activation; plus x where the shapes agree."""

    def __init__(self, inputs: int, outputs: int, ratio: int, stride: int) -> None:
        super().__init__()
        inner = inputs * ratio
        self.residual = stride == 1 and inputs == outputs
        widen = [ConvNorm(inputs, inner, 1, activation=nn.ReLU6())] if ratio > 1 else []
        depthwise = ConvNorm(inner, inner, _KERNEL, stride=stride, groups=inner, activation=nn.ReLU6())
        self.layers = nn.Sequential(*widen, depthwise, ConvNorm(inner, outputs, 1))

    def forward(self, values: Float[Tensor, "b c l"]) -> Float[Tensor, "b d m"]:
        narrowed = self.layers(values)
        return values + narrowed if self.residual else narrowed


def _scaled(channels: int, factor: float) -> int:
    """The channels times the factor, at least 4."""
    return max(4, round(channels * factor))
