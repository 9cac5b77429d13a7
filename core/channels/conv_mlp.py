"""The perceptron with a convolution over neighbouring tokens inside."""

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from armillary.core.channels.activations import ACTIVATIONS
from armillary.core.config.channels import ConvMLPSettings
from armillary.core.convolutions import PointConv, ShortConv
from armillary.core.tokens import Tokens


class ConvMLP(nn.Module):
    """y = dropout(act(D(x W1 + b1))) W2 + b2, D a depth-wise convolution of an odd number of neighbouring tokens.

    Masked tokens and those beyond the ends count as zeros in D. It reads tokens in place of values, and later ones
    too, so a trunk that has it is neither causal nor streaming.

    References:
        Guo et al. 2022, "CMT: convolutional neural networks meet vision transformers", section 3.3 (there with norms
        and a residual path inside).
    """

    reads_tokens: ClassVar[bool] = True

    def __init__(self, width: int, settings: ConvMLPSettings) -> None:
        super().__init__()
        hidden = settings.hidden or max(1, round(settings.ratio * width))
        self.activation = ACTIVATIONS[settings.activation]
        self.expand = PointConv(width, hidden, bias=settings.bias)
        self.convolve = ShortConv(hidden, hidden, settings.kernel, depthwise=True, bias=settings.bias)
        self.dropout = nn.Dropout(settings.dropout)
        self.contract = PointConv(hidden, width, bias=settings.bias)

    def forward(self, tokens: Tokens) -> Float[Tensor, "b l d"]:
        if tokens.segments is not None:
            raise ValueError(
                "conv_mlp got packed segments, which it would mix; give one sequence a row, padded and masked"
            )
        hidden = self.convolve(self.expand(tokens.values), tokens.mask)
        return self.contract(self.dropout(self.activation(hidden)))

    def cost(self, batch: int, length: int) -> float:
        """Multiply-adds [MAC]: two maps and the taps of every hidden channel."""
        return 2.0 * batch * length * self.expand.weight.numel() + self.convolve.work(batch, length)
