"""The gated linear unit and its family."""

from jaxtyping import Float
from torch import Tensor, nn

from armillary.core.channels.activations import ACTIVATIONS
from armillary.core.config.channels import GLUSettings


class GLU(nn.Module):
    """y = dropout(act(x Wa) * x Wb) Wc, for each token by itself; SiLU makes it SwiGLU.

    References:
        Shazeer 2020, "GLU variants improve transformer", eq. 6.
    """

    def __init__(self, width: int, settings: GLUSettings) -> None:
        super().__init__()
        hidden = settings.hidden or default_hidden(width)
        self.activation = ACTIVATIONS[settings.activation]
        self.expand = nn.Linear(width, 2 * hidden, bias=settings.bias)
        self.dropout = nn.Dropout(settings.dropout)
        self.contract = nn.Linear(hidden, width, bias=settings.bias)

    def forward(self, values: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        gate, linear = self.expand(values).chunk(2, dim=-1)
        return self.contract(self.dropout(self.activation(gate) * linear))

    def cost(self, tokens: int) -> float:
        """Multiply-adds [MAC] of one forward pass over `tokens` tokens: 3 d h for the maps and h for the gate."""
        hidden = self.contract.in_features
        return float(tokens) * (self.expand.weight.numel() + self.contract.weight.numel() + hidden)


def default_hidden(width: int) -> int:
    """8/3 of the width, rounded up to a multiple of 64, so that three maps weigh what two of 4 d would."""
    return -(-8 * width // (3 * 64)) * 64
