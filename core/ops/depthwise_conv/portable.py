"""The depth-wise convolution in plain torch: its convolutions, but sums over shifted tokens for the weights.

Torch's own gradient of depth-wise weights takes a hundred times as long as the convolution on a CPU.
"""

from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from armillary.core.ops.precision import accumulation_dtype, full_precision


def depthwise_conv_portable(
    x: Float[Tensor, "b l c"], weight: Float[Tensor, "c k"], ahead: int, dilation: int, silu: bool
) -> Float[Tensor, "b l c"]:
    """See `depthwise_conv`. Kept for backward: the inputs."""
    dtype = accumulation_dtype(x)
    if x.numel() == 0:
        return x + 0 * weight.sum().to(x.dtype)
    with full_precision(x):
        y = _Convolution.apply(x.to(dtype), weight.to(dtype), ahead, dilation, silu)  # pyright: ignore[reportUnknownMemberType]
    return cast(Tensor, y).to(x.dtype)


def _padded(x: Tensor, before: int, after: int) -> Tensor:
    return functional.pad(x, (0, 0, before, after))


def _convolved(padded: Tensor, weight: Tensor, dilation: int) -> Tensor:
    """Σ_j weight_j x_{t + j dilation} (b l c) of rows that are long enough."""
    return functional.conv1d(padded.mT, weight[:, None], dilation=dilation, groups=weight.shape[0]).mT.contiguous()


class _Convolution(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        x: Tensor, weight: Tensor, ahead: int, dilation: int, silu: bool
    ) -> Tensor:
        met = functional.silu(x) if silu else x
        before, after = (weight.shape[1] - 1 - ahead) * dilation, ahead * dilation
        return _convolved(_padded(met, before, after), weight, dilation)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, weight, ctx.ahead, ctx.dilation, ctx.silu = inputs
        ctx.save_for_backward(x, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, weight = ctx.saved_tensors
        before, after = (weight.shape[1] - 1 - ctx.ahead) * ctx.dilation, ctx.ahead * ctx.dilation
        met = _padded(functional.silu(x) if ctx.silu else x, before, after)
        length = grad.shape[1]
        shares = [(grad * met[:, j * ctx.dilation :][:, :length]).sum((0, 1)) for j in range(weight.shape[1])]
        grad_x = _convolved(_padded(grad, after, before), weight.flip(1), ctx.dilation)
        if ctx.silu:
            grad_x = torch.ops.aten.silu_backward(grad_x, x)
        return grad_x, torch.stack(shares, 1), None, None, None
