"""Neighbourhood attention in C++ on the CPU: float32, nothing kept but the result and the log of its denominator."""

from typing import Any, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from armillary.core.ops.custom import custom_op
from armillary.core.ops.library import kernel


def neighbourhood_attention_native(
    q: Float[Tensor, "b *grid h e"],
    k: Float[Tensor, "b *grid h e"],
    v: Float[Tensor, "b *grid h f"],
    bias: Float[Tensor, "h *offsets"] | None,
    mask: Bool[Tensor, "b *grid"] | None,
    extents: Int[Tensor, "b r"] | None,
    window: tuple[int, ...],
    dilation: tuple[int, ...],
    causal: tuple[bool, ...],
    periodic: tuple[bool, ...],
    scale: float,
) -> Float[Tensor, "b *grid h f"]:
    """Tiles of queries, one a vector lane, against the box of keys that they share.

    Sums have one order, whatever the number of threads. Gradients of k and v are added where they belong.
    """
    settings = [int(setting) for settings in (window, dilation, causal, periodic) for setting in settings]
    wide = (tensor if tensor is None else tensor.float() for tensor in (q, k, v, bias))
    out, _ = cast(tuple[Tensor, Tensor], _forward(*wide, mask, extents, settings, scale))
    return out.to(q.dtype)


@custom_op("neighbourhood_native")
def _forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor | None,
    mask: Tensor | None,
    extents: Tensor | None,
    settings: list[int],
    scale: float,
) -> tuple[Tensor, Tensor]:
    """The result (b *grid h f) and the log of the softmax's denominator (b *grid h)."""
    problem = _problem(q, k, v, bias, mask, extents, settings, scale)
    out, logsum = _fresh(v, v.shape, extents), _fresh(v, v.shape[:-1], extents)
    kernel("neighbourhood_forward")(*problem, out, logsum)
    return out, logsum


@custom_op("neighbourhood_native_backward")
def _backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor | None,
    mask: Tensor | None,
    extents: Tensor | None,
    out: Tensor,
    logsum: Tensor,
    settings: list[int],
    scale: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of q, k, v and bias; the last is empty where there is no bias."""
    problem = _problem(q, k, v, bias, mask, extents, settings, scale)
    grad_q, grad_bias = _fresh(q, q.shape, extents), q.new_empty(_shape(bias))
    grad_k, grad_v = k.new_zeros(k.shape), v.new_zeros(v.shape)
    given = (grad.contiguous(), out.contiguous(), logsum.contiguous())
    kernel("neighbourhood_backward")(*problem, *given, grad_q, grad_k, grad_v, grad_bias)
    return grad_q, grad_k, grad_v, grad_bias


@_forward.register_fake
def _(q: Tensor, k: Tensor, v: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return v.new_empty(v.shape), v.new_empty(v.shape[:-1])


@_backward.register_fake
def _(grad: Tensor, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, *_: Any) -> tuple[Tensor, ...]:
    return q.new_empty(q.shape), k.new_empty(k.shape), v.new_empty(v.shape), q.new_empty(_shape(bias))


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, ctx.settings, ctx.scale = inputs
    ctx.save_for_backward(*tensors, *output)


def _differentiate(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    saved = ctx.saved_tensors  # once: a checkpointed block unpacks them a single time
    bias = saved[3]
    *gradients, grad_bias = _backward(grad, *saved, ctx.settings, ctx.scale)
    return *gradients, None if bias is None else grad_bias, None, None, None, None


_forward.register_autograd(_differentiate, setup_context=_keep)


def _fresh(tensor: Tensor, shape: torch.Size, extents: Tensor | None) -> Tensor:
    """What a kernel writes, whatever torch's default dtype and device are; it writes to the extents alone."""
    return tensor.new_empty(shape) if extents is None else tensor.new_zeros(shape)


def _shape(bias: Tensor | None) -> torch.Size:
    return torch.Size([0]) if bias is None else bias.shape


def _problem(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor | None,
    mask: Tensor | None,
    extents: Tensor | None,
    settings: list[int],
    scale: float,
) -> tuple[Any, ...]:
    """What forward and backward are told about their task, in the order of the kernels."""
    grid = q.shape[1:-2]
    axes = torch.tensor([*grid, *settings], device="cpu").reshape(5, len(grid)).T.contiguous()
    tensors = (tensor if tensor is None else tensor.contiguous() for tensor in (q, k, v, bias, mask))
    sizes = None if extents is None else extents.long().contiguous()
    return *tensors, sizes, axes, len(grid), q.shape[0], q.shape[-2], q.shape[-1], v.shape[-1], scale
