"""An instance norm over the real tokens of a row with the rectifier behind it, keeping its input and moments alone."""

from typing import Any, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from armillary.core.mixers.psca import token_moments

_EPS = 1e-5


class RectifiedInstanceNorm(nn.Module):
    """prelu(w (x - mean) / sqrt(variance + eps) + v), moments over the real tokens of a row, a slope for each feature.

    References:
        Ulyanov et al. 2016, "Instance normalization: the missing ingredient for fast stylization", eq. 1.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.slopes = nn.Parameter(torch.full((width,), 0.25))

    def forward(
        self, values: Float[Tensor, "b l d"], mask: Bool[Tensor, "b l"] | None = None
    ) -> Float[Tensor, "b l d"]:
        learned = (part.to(values.dtype) for part in (self.weight, self.bias, self.slopes))
        return cast(Tensor, _Rectified.apply(values, mask, *learned))  # pyright: ignore[reportUnknownMemberType]


class _Rectified(torch.autograd.Function):
    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, values: Tensor, mask: Tensor | None, weight: Tensor, bias: Tensor, slopes: Tensor
    ) -> Tensor:
        mean, variance = token_moments(values, mask)
        mean, inverse = (one.unsqueeze(1).to(values.dtype) for one in (mean, (variance + _EPS).rsqrt()))
        ctx.save_for_backward(values, mask, weight, bias, slopes, mean, inverse)
        normed = torch.addcmul(bias - mean * inverse * weight, values, inverse * weight)
        return torch.where(normed > 0, normed, normed * slopes)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        values, mask, weight, bias, slopes, mean, inverse = ctx.saved_tensors
        standard = (values - mean) * inverse
        normed = torch.addcmul(bias, standard, weight)
        grad_slopes = (grad * normed.clamp(max=0)).sum((0, 1))
        grad = torch.where(normed > 0, grad, grad * slopes)
        total, moment = grad.sum(1, keepdim=True), (grad * standard).sum(1, keepdim=True)
        # Through mean and variance a gradient reaches every real token of the row, and no other one.
        if mask is None:
            shared = torch.addcmul(total, standard, moment) / max(values.shape[1], 1)
        else:
            real = mask.unsqueeze(-1).to(grad.dtype)
            shared = torch.addcmul(total, standard, moment) * (real / real.sum(1, keepdim=True).clamp(min=1))
        return (grad - shared) * (inverse * weight), None, moment.sum((0, 1)), total.sum((0, 1)), grad_slopes
