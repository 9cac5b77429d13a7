"""Matrix products in single precision, fast on every processor.

On a CPU torch hands them to MKL, which keeps its widest instructions to processors of one maker; oneDNN, that torch
brings along for its convolutions, uses what the processor has: twice as fast on others. It is reached by the operator
that torch's own compiler uses. Where that is missing, and for everything that is not float32 on a CPU, torch's linear
map stands in.
"""

from functools import cache
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional


def product(
    x: Float[Tensor, "*b i"],
    weight: Float[Tensor, "o i"],
    bias: Float[Tensor, " o"] | None = None,
    scale: Float[Tensor, " j"] | None = None,
) -> Float[Tensor, "*b o"]:
    """(s x) W^T + b at each token, with one s or one for each feature. Once differentiable where oneDNN serves.

    The scale acts on the matrix, and neither scaled form is kept for the backward pass.
    """
    if not (is_fast(x) and is_fast(weight)):
        return functional.linear(x, weight if scale is None else weight * scale, bias)
    rows = x.reshape(-1, x.shape[-1])
    y = cast(Tensor, _Product.apply(rows, weight, bias, scale))  # pyright: ignore[reportUnknownMemberType]
    return y.view(*x.shape[:-1], -1)


def is_fast(tensor: Tensor) -> bool:
    """Whether `multiply` takes this tensor: float32 on a CPU, not empty, outside of autocast and of traces."""
    return (
        tensor.device.type == "cpu"
        and tensor.dtype == torch.float32
        and tensor.numel() > 0
        and _has_onednn()
        and not torch.compiler.is_compiling()
        and not torch.is_autocast_enabled("cpu")
    )


def multiply(
    x: Float[Tensor, "m i"], weight: Float[Tensor, "o i"], bias: Float[Tensor, " o"] | None = None
) -> Float[Tensor, "m o"]:
    """x W^T + b of two matrices for which `is_fast` holds, without a gradient. Transposed views cost nothing."""
    return _onednn()(_dense(x), _dense(weight), bias, "none", [], "")


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, scale: Tensor | None
    ) -> Tensor:
        ctx.save_for_backward(x, weight, scale)
        return multiply(x, weight if scale is None else weight * scale, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, weight, scale = ctx.saved_tensors
        scaled = weight if scale is None else weight * scale
        wanted_x, wanted_weight, wanted_bias, wanted_scale = ctx.needs_input_grad
        grad_x = multiply(grad, scaled.T) if wanted_x else None
        grad_bias = grad.sum(0) if wanted_bias else None
        if not (wanted_weight or wanted_scale):
            return grad_x, None, grad_bias, None
        grad_weight = multiply(grad.T, x.T)
        if scale is None:
            return grad_x, grad_weight, grad_bias, None
        return grad_x, grad_weight * scale, grad_bias, (grad_weight * weight).sum_to_size(scale.shape)


def _dense(matrix: Tensor) -> Tensor:
    # A matrix with gaps between its rows would take a path a thousand times as slow.
    return matrix if matrix.is_contiguous() or matrix.T.is_contiguous() else matrix.contiguous()


@cache
def _has_onednn() -> bool:
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


@cache
def _onednn() -> Any:
    return torch.ops.mkldnn._linear_pointwise
