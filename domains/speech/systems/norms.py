"""The norms of separation networks: over a whole recording, or over each step by itself."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from armillary.core.config.norms import LayerNormSettings
from armillary.core.norms import LayerNorm
from armillary.core.ops.precision import accumulation_dtype
from armillary.domains.speech.systems.settings import StepNorm

EPS = 1e-8  # published networks use it; a larger one would matter where features are as small as a quiet recording's


class GlobalNorm(nn.Module):
    """(x - mean) / sqrt(variance + 1e-8) over all real steps and features, times a weight, plus a bias a feature.

    References:
        Luo and Mesgarani 2019, "Conv-TasNet" (global layer normalization).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(
        self, values: Float[Tensor, "b s d"], mask: Bool[Tensor, "b s"] | None = None
    ) -> Float[Tensor, "b s d"]:
        """Values of steps that are not real are of no meaning."""
        if mask is None:
            normed = functional.layer_norm(values, values.shape[1:], eps=EPS)
        else:
            normed = standardized(values, mask.unsqueeze(-1))
        return normed * self.weight + self.bias


def build_norm(kind: StepNorm, width: int) -> nn.Module:
    """The norm of this name, called with values (b, s, d) and a mask."""
    return GlobalNorm(width) if kind == "global" else LayerNorm(width, LayerNormSettings(eps=EPS))


def standardized(values: Float[Tensor, "b m n"], real: Bool[Tensor, "b #m #n"]) -> Float[Tensor, "b m n"]:
    """(x - mean) / sqrt(variance + 1e-8) of each item over what is real."""
    dtype = accumulation_dtype(values)
    weight, kept = real.to(dtype), values.to(dtype)
    repeated = (values.shape[1] // real.shape[1]) * (values.shape[2] // real.shape[2])
    number = (weight.sum((1, 2), keepdim=True) * repeated).clamp(min=1)
    centred = kept - (kept * weight).sum((1, 2), keepdim=True) / number
    variance = (centred * weight).square().sum((1, 2), keepdim=True) / number
    return (centred * (variance + EPS).rsqrt()).to(values.dtype)
