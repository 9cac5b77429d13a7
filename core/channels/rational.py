"""The perceptron with rational activations (the channel mixer of the Kolmogorov-Arnold transformer)."""

from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from armillary.core.config.channels import RationalSettings
from armillary.core.ops.checks import check_divides
from armillary.core.ops.rational import rational, rational_cost
from armillary.core.ops.rational.coefficients import INITIAL
from armillary.core.ops.rational.fit import quotient
from armillary.core.parameters import undecayed


class Rational(nn.Module):
    """r(x) = P(x) / Q(x) element by element, starting as a named function.

    One numerator for all channels and a denominator for each group of neighbours, as published.
    """

    def __init__(self, start: str, settings: RationalSettings) -> None:
        super().__init__()
        initial = INITIAL[start]
        self.form: Literal["A", "B"] = settings.form
        self.numerator = undecayed(torch.tensor([initial.numerator]))
        self.denominator = undecayed(torch.tensor([initial.denominator]).repeat(settings.groups, 1))

    def forward(self, values: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        return rational(values, self.numerator, self.denominator, form=self.form)


class RationalMLP(nn.Module):
    """y = W2 dropout(r2(W1 r1(x) + b1)) + b2, for each token by itself.

    Weights start normal with variance α / inputs, α = E[x²] / E[r(x)²] of the activation before them, so that an input
    of unit variance leaves each map with unit variance; biases start at 0.

    Raises:
        ValueError: groups that do not divide the width or the hidden width.

    References:
        Yang and Wang 2025, "Kolmogorov-Arnold transformer".
    """

    def __init__(self, width: int, settings: RationalSettings) -> None:
        super().__init__()
        hidden = settings.hidden or max(1, round(settings.ratio * width))
        check_divides("rational", "groups", settings.groups, "the width", width)
        check_divides("rational", "groups", settings.groups, "the hidden width", hidden)
        self.first, self.second = Rational("identity", settings), Rational(settings.activation, settings)
        self.expand = _linear(width, hidden, settings.bias, "identity")
        self.dropout = nn.Dropout(settings.dropout)
        self.contract = _linear(hidden, width, settings.bias, settings.activation)

    def forward(self, values: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        hidden = self.second(self.expand(self.first(values)))
        return self.contract(self.dropout(hidden))

    def cost(self, tokens: int) -> float:
        """Multiply-adds [MAC] of one forward pass over `tokens` tokens: 2 d h, and those of both activations."""
        maps = self.expand.weight.numel() + self.contract.weight.numel()
        return tokens * (maps + rational_cost(self.expand.in_features + self.contract.in_features))


def variance_gain(start: str) -> float:
    """α = E[x²] / E[r(x)²] for x ~ N(0, 1), by Gauss-Hermite quadrature of the fitted quotient."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(100)
    values = quotient(nodes, np.array(INITIAL[start].numerator), np.array(INITIAL[start].denominator))
    return float(weights.sum() / (weights @ values**2))


def _linear(inputs: int, outputs: int, bias: bool, before: str) -> nn.Linear:
    layer = nn.Linear(inputs, outputs, bias=bias)
    nn.init.normal_(layer.weight, std=(variance_gain(before) / inputs) ** 0.5)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer
