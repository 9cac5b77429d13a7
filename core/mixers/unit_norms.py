"""Norms over the features without learned numbers, which keep what they give instead of what they got.

What they give is the input of a matrix product, which keeps it anyway.
"""

from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable


def unit_rms(values: Float[Tensor, "*b d"], eps: float = 1e-5) -> Float[Tensor, "*b d"]:
    """x / max(rms(x), eps) over the features: a scale norm before its learned number.

    References:
        Nguyen and Salazar 2019, "Transformers without tears", section 2.2.
    """
    return cast(Tensor, _UnitRMS.apply(values, eps))  # pyright: ignore[reportUnknownMemberType]


def standardised(values: Float[Tensor, "*b d"], eps: float = 1e-5) -> Float[Tensor, "*b d"]:
    """(x - mean) / sqrt(variance + eps) over the features: a layer norm before its learned numbers."""
    return cast(Tensor, _Standardised.apply(values, eps))  # pyright: ignore[reportUnknownMemberType]


def divided(values: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """x / max(rms(x), eps), and 1 / rms(x), or 0 where rms(x) is below eps."""
    size = torch.linalg.vector_norm(values, dim=-1, keepdim=True) * values.shape[-1] ** -0.5
    inverse = size.clamp(min=eps).reciprocal()
    return values * inverse.to(values.dtype), torch.where(size < eps, 0, inverse)


def division_slope(grad: Tensor, normed: Tensor, inverse: Tensor, eps: float) -> Tensor:
    """The gradient of x from that of x / max(rms(x), eps)."""
    shared = (grad * normed).mean(-1, keepdim=True).mul_(inverse > 0)
    factor = torch.where(inverse > 0, inverse, 1 / eps).to(grad.dtype)
    return torch.addcmul(grad, normed, shared, value=-1).mul_(factor)


class _UnitRMS(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, eps: float) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        normed, inverse = divided(values, eps)
        ctx.eps = eps
        ctx.save_for_backward(normed, inverse)
        return normed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        normed, inverse = ctx.saved_tensors
        return division_slope(grad, normed, inverse, ctx.eps), None


class _Standardised(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, eps: float) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        normed, _, inverse = torch.native_layer_norm(values, values.shape[-1:], None, None, eps)
        ctx.save_for_backward(normed, inverse)
        return normed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        normed, inverse = ctx.saved_tensors
        shared = (grad * normed).mean(-1, keepdim=True)
        slope = torch.addcmul(grad - grad.mean(-1, keepdim=True), normed, shared, value=-1)
        return slope.mul_(inverse.to(grad.dtype)), None
