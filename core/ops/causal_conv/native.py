"""The depth-wise causal convolution by the native kernel (CPU, float32)."""

from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from armillary.core.ops.custom import custom_op
from armillary.core.ops.library import kernel

BLOCK = 64  # tokens whose gradients of weight and bias are one partial, at least
HALO = 8  # a block is so many times longer than what it computes again after its end

Four = tuple[Tensor, Tensor, Tensor, Tensor]
Argument = Tensor | int | None


def causal_conv_native(
    x: Float[Tensor, "b l c"],
    weight: Float[Tensor, "c k"],
    bias: Float[Tensor, " c"] | None,
    history: Float[Tensor, "b m c"] | None,
    runs: Int[Tensor, "b l"] | None,
    silu: bool,
) -> Float[Tensor, "b l c"]:
    """See `causal_conv`; x is read where it lies if its channels lie side by side. Kept for backward: the inputs."""
    return cast(Tensor, _forward(x, weight, bias, history, runs, silu))


@custom_op("causal_conv_native")
def _forward(
    x: Tensor, weight: Tensor, bias: Tensor | None, history: Tensor | None, runs: Tensor | None, silu: bool
) -> Tensor:
    y = x.new_empty(x.shape, dtype=torch.float32)
    kernel("causal_conv_forward")(*_arguments(x, weight, bias, history, runs, silu), y)
    return y.to(x.dtype)


@_forward.register_fake
def _(
    x: Tensor, weight: Tensor, bias: Tensor | None, history: Tensor | None, runs: Tensor | None, silu: bool
) -> Tensor:
    return x.new_empty(x.shape)


@custom_op("causal_conv_native_backward")
def _backward(
    grad_y: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    history: Tensor | None,
    runs: Tensor | None,
    silu: bool,
) -> Four:
    arguments = _arguments(x, weight, bias, history, runs, silu)
    (batch, length, channels), taps, block = x.shape, weight.shape[1], _block(weight)
    grad_x = x.new_empty(x.shape, dtype=torch.float32)
    grad_history = None if history is None else x.new_zeros(history.shape, dtype=torch.float32)
    grad_weight = x.new_empty(taps + 1, channels, dtype=torch.float32)
    partial = x.new_empty(batch * -(-length // block), taps + 1, channels, dtype=torch.float32)
    kernel("causal_conv_backward")(*arguments, *_rows(grad_y), grad_x, grad_history, grad_weight, partial)
    return (
        grad_x.to(x.dtype),
        grad_weight[:taps].T.contiguous().to(weight.dtype),
        grad_weight[taps].clone() if bias is None else grad_weight[taps].to(bias.dtype, copy=True),
        x.new_empty(0) if history is None or grad_history is None else grad_history.to(history.dtype),
    )


@_backward.register_fake
def _(
    grad_y: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    history: Tensor | None,
    runs: Tensor | None,
    silu: bool,
) -> Four:
    return (
        x.new_empty(x.shape),
        weight.new_empty(weight.shape),
        x.new_empty(x.shape[2], dtype=torch.float32 if bias is None else bias.dtype),
        x.new_empty(0) if history is None else history.new_empty(history.shape),
    )


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.silu = inputs
    ctx.save_for_backward(*tensors)


def _differentiate(ctx: Any, grad_y: Tensor) -> tuple[Tensor | None, ...]:
    saved = ctx.saved_tensors  # once: a checkpointed block unpacks them a single time
    grads = cast(Four, _backward(grad_y, *saved, ctx.silu))
    return (*(grad if need else None for grad, need in zip(grads, ctx.needs_input_grad, strict=False)), None, None)


_forward.register_autograd(_differentiate, setup_context=_keep)


def _arguments(
    x: Tensor, weight: Tensor, bias: Tensor | None, history: Tensor | None, runs: Tensor | None, silu: bool
) -> tuple[Argument, ...]:
    """What both kernels begin with."""
    weight = weight.float()
    bias = None if bias is None else bias.float().contiguous()
    numbers = None if runs is None else runs.long().contiguous()
    sizes = (*x.shape, weight.shape[1], _block(weight))
    return (*_rows(x), *_rows(history), weight.T.contiguous(), bias, numbers, *sizes, silu)


def _block(weight: Tensor) -> int:
    return max(BLOCK, HALO * (weight.shape[1] - 1))


def _rows(tensor: Tensor | None) -> tuple[Argument, Argument, Argument]:
    """A tensor (batch, token, channel) in float32 and its two leading strides; copied if its channels lie apart."""
    if tensor is None:
        return None, 0, 0
    tensor = tensor.float()
    if tensor.stride(2) != 1:
        tensor = tensor.contiguous()
    return tensor, tensor.stride(0), tensor.stride(1)
