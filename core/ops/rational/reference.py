"""The group rational activation, power by power: the specification of every faster tier."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor


def rational_reference(
    x: Float[Tensor, "*b d"],
    numerator: Float[Tensor, "n 6"],
    denominator: Float[Tensor, "g 4"],
    form: Literal["A", "B"] = "A",
) -> Float[Tensor, "*b d"]:
    """P(x) / Q(x) with P = Σ a_i x^i and Q = 1 + Σ |b_j||x|^j (A) or 1 + |Σ b_j x^j| (B), in the inputs' precision.

    References:
        Yang and Wang 2025, "Kolmogorov-Arnold transformer".
    """
    groups = denominator.shape[0]
    channels = x.shape[-1] // groups
    a = numerator.expand(groups, 6).repeat_interleave(channels, dim=0)
    b = denominator.repeat_interleave(channels, dim=0)
    top = (a * _powers(x, range(6))).sum(-1)
    if form == "A":
        return top / (1 + (b.abs() * _powers(x.abs(), range(1, 5))).sum(-1))
    return top / (1 + (b * _powers(x, range(1, 5))).sum(-1).abs())


def _powers(x: Tensor, exponents: range) -> Tensor:
    return torch.stack([x**exponent for exponent in exponents], -1)
