"""The depth-wise convolution with taps on both sides by the native kernel (CPU, float32)."""

from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor

from armillary.core.ops.custom import custom_op
from armillary.core.ops.library import kernel

BLOCK = 512  # tokens whose gradients of the weight are one partial at least; the kernel's blocks are no shorter


def depthwise_conv_native(
    x: Float[Tensor, "b l c"], weight: Float[Tensor, "c k"], ahead: int, dilation: int, silu: bool
) -> Float[Tensor, "b l c"]:
    """See `depthwise_conv`; x is read where it lies if its channels lie side by side. Kept for backward: the inputs."""
    return cast(Tensor, _forward(x, weight, ahead, dilation, silu))


@custom_op("depthwise_conv_native")
def _forward(x: Tensor, weight: Tensor, ahead: int, dilation: int, silu: bool) -> Tensor:
    y = x.new_empty(x.shape, dtype=torch.float32)
    kernel("depthwise_conv_forward")(*_arguments(x, weight, ahead, dilation, silu), y)
    return y.to(x.dtype)


@_forward.register_fake
def _(x: Tensor, weight: Tensor, ahead: int, dilation: int, silu: bool) -> Tensor:
    return x.new_empty(x.shape)


@custom_op("depthwise_conv_native_backward")
def _backward(
    grad_y: Tensor, x: Tensor, weight: Tensor, ahead: int, dilation: int, silu: bool
) -> tuple[Tensor, Tensor]:
    (batch, length, channels), taps = x.shape, weight.shape[1]
    grad_x = x.new_empty(x.shape, dtype=torch.float32)
    grad_weight = x.new_empty(taps, channels, dtype=torch.float32)
    partial = x.new_empty(batch * -(-length // BLOCK), taps, channels, dtype=torch.float32)
    arguments = _arguments(x, weight, ahead, dilation, silu)
    kernel("depthwise_conv_backward")(*arguments, *_rows(grad_y), grad_x, grad_weight, partial)
    return grad_x.to(x.dtype), grad_weight.T.contiguous().to(weight.dtype)


@_backward.register_fake
def _(grad_y: Tensor, x: Tensor, weight: Tensor, ahead: int, dilation: int, silu: bool) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape), weight.new_empty(weight.shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, *ctx.options = inputs
    ctx.save_for_backward(x, weight)


def _differentiate(ctx: Any, grad_y: Tensor) -> tuple[Tensor | None, ...]:
    grads = cast(tuple[Tensor, Tensor], _backward(grad_y, *ctx.saved_tensors, *ctx.options))
    return (
        *(grad if need else None for grad, need in zip(grads, ctx.needs_input_grad, strict=False)),
        None,
        None,
        None,
    )


_forward.register_autograd(_differentiate, setup_context=_keep)


def _arguments(x: Tensor, weight: Tensor, ahead: int, dilation: int, silu: bool) -> tuple[Tensor | int, ...]:
    """What both kernels begin with."""
    weight = weight.float()
    return (*_rows(x), weight.T.contiguous(), *x.shape, weight.shape[1], ahead, dilation, silu)


def _rows(tensor: Tensor) -> tuple[Tensor, int, int]:
    """A tensor (batch, token, channel) in float32 and its two leading strides; copied if its channels lie apart."""
    tensor = tensor.float()
    if tensor.stride(2) != 1:
        tensor = tensor.contiguous()
    return tensor, tensor.stride(0), tensor.stride(1)
