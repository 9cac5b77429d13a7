"""The two-layer perceptron."""

from jaxtyping import Float
from torch import Tensor, nn

from armillary.core.channels.activations import ACTIVATIONS
from armillary.core.config.channels import MLPSettings


class MLP(nn.Module):
    """y = dropout(act(x W1 + b1)) W2 + b2, for each token by itself.

    References:
        Vaswani et al. 2017, "Attention is all you need", eq. 2.
    """

    def __init__(self, width: int, settings: MLPSettings) -> None:
        super().__init__()
        hidden = settings.hidden or max(1, round(settings.ratio * width))
        self.activation = ACTIVATIONS[settings.activation]
        self.expand = nn.Linear(width, hidden, bias=settings.bias)
        self.dropout = nn.Dropout(settings.dropout)
        self.contract = nn.Linear(hidden, width, bias=settings.bias)

    def forward(self, values: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        return self.contract(self.dropout(self.activation(self.expand(values))))

    def cost(self, tokens: int) -> float:
        """Multiply-adds [MAC] of one forward pass over `tokens` tokens: 2 d h each."""
        return 2.0 * tokens * self.expand.weight.numel()
