"""The perceptron with a learned cubic as its activation (PolyCom)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from armillary.core.config.channels import PolySettings
from armillary.core.ops.polynorm import polynorm, polynorm_cost
from armillary.core.ops.polyrelu import polyrelu, polyrelu_cost

OPS = {"polynorm": (polynorm, polynorm_cost), "polyrelu": (polyrelu, polyrelu_cost)}


class PolyMLP(nn.Module):
    """y = dropout(p(x W1 + b1)) W2 + b2 for each token by itself; gated: (p(x Wa) * x Wb) Wc, each with its bias.

    p is PolyNorm or PolyReLU with three weights that start at 1/3 and a bias that starts at 0, one set for all hidden
    features. The publication has the plain form; the gated one puts p where SwiGLU has SiLU.

    References:
        Zhuo et al. 2025, "Polynomial composition activations: unleashing the dynamics of large language models".
    """

    def __init__(self, width: int, settings: PolySettings) -> None:
        super().__init__()
        hidden = settings.hidden or max(1, round(settings.ratio * width))
        self.activation, self.activation_cost = OPS[settings.activation]
        self.gated = settings.gated
        self.expand = nn.Linear(width, hidden * (2 if settings.gated else 1), bias=settings.bias)
        self.weight, self.bias = nn.Parameter(torch.full((3,), 1 / 3)), nn.Parameter(torch.zeros(()))
        self.dropout = nn.Dropout(settings.dropout)
        self.contract = nn.Linear(hidden, width, bias=settings.bias)

    def forward(self, values: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        hidden = self.expand(values)
        if self.gated:
            gate, linear = hidden.chunk(2, dim=-1)
            hidden = self.activation(gate, self.weight, self.bias) * linear
        else:
            hidden = self.activation(hidden, self.weight, self.bias)
        return self.contract(self.dropout(hidden))

    def cost(self, tokens: int) -> float:
        """Multiply-adds [MAC] of one forward pass over `tokens` tokens: the maps, the cubic, and the gate."""
        hidden = self.contract.in_features
        maps = self.expand.weight.numel() + self.contract.weight.numel()
        return tokens * (maps + self.activation_cost(hidden) + hidden * self.gated)
