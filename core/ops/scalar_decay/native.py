"""The scalar-decay recurrence by the native kernels (CPU, states in float32)."""

from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from armillary.core.ops.custom import custom_op
from armillary.core.ops.library import kernel
from armillary.core.ops.scalar_decay.portable import scalar_decay_portable
from armillary.core.ops.scalar_decay.runs import number_runs

CHUNK = 64  # tokens between the states that are kept for backward

Three = tuple[Tensor, Tensor, Tensor]
Five = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
Argument = Tensor | int


def scalar_decay_native(
    x: Float[Tensor, "b l h p"],
    log_decay: Float[Tensor, "b l h"],
    B: Float[Tensor, "b l g n"],
    C: Float[Tensor, "b l g n"],
    initial_state: Float[Tensor, "b h p n"] | None = None,
    segments: Int[Tensor, "b l"] | None = None,
    *,
    chunk: int | None = None,
) -> tuple[Float[Tensor, "b l h p"], Float[Tensor, "b h p n"]]:
    """See `scalar_decay`; inputs whose last axis is dense are read where they are.

    Kept for backward: the inputs and one state in 64 tokens, or in `chunk` if that is more. Time does not grow with it.
    """
    if 0 in (*x.shape, B.shape[3]):  # nothing to walk through
        return scalar_decay_portable(x, log_decay, B, C, initial_state, segments)
    if initial_state is None:
        initial_state = x.new_zeros(x.shape[0], *x.shape[2:], B.shape[3], dtype=torch.float32)
    runs = None if segments is None else number_runs(segments)
    results = _forward(x, log_decay, B, C, initial_state, runs, max(chunk or 0, CHUNK))
    return cast(Three, results)[:2]


@custom_op("scalar_decay_native")
def _forward(
    x: Tensor, log_decay: Tensor, B: Tensor, C: Tensor, state: Tensor, runs: Tensor | None, chunk: int
) -> Three:
    y, borders = _fresh(x, *x.shape), _fresh(x, *_borders(x, B, chunk))
    turned = _turned(state)
    kernel("scalar_decay_forward")(*_arguments(x, _decay(log_decay, runs), B, C, chunk), y, turned, borders)
    return y.to(x.dtype), _turned(turned), borders


@_forward.register_fake
def _(x: Tensor, log_decay: Tensor, B: Tensor, C: Tensor, state: Tensor, runs: Tensor | None, chunk: int) -> Three:
    return x.new_empty(x.shape), _fresh(x, *state.shape), _fresh(x, *_borders(x, B, chunk))


@custom_op("scalar_decay_native_backward")
def _backward(
    grad_y: Tensor,
    grad_last: Tensor,
    x: Tensor,
    log_decay: Tensor,
    B: Tensor,
    C: Tensor,
    state: Tensor,
    runs: Tensor | None,
    borders: Tensor,
    chunk: int,
) -> Five:
    decay = _decay(log_decay, runs)
    grad_x, grad_B, grad_C = _fresh(x, *x.shape), _fresh(x, *B.shape), _fresh(x, *C.shape)
    grad_decay = torch.empty_like(decay)
    given = (*_arguments(x, decay, B, C, chunk), *_series(grad_y))
    adjoint = _turned(grad_last)
    kernel("scalar_decay_backward_x")(*given, borders, grad_x, grad_decay, adjoint)
    following = torch.nn.functional.pad(decay[..., 1:], (0, 1), value=1.0)
    ends = state.float().contiguous(), grad_last.float().contiguous()
    kernel("scalar_decay_backward_pairs")(*given, following, *ends, grad_B, grad_C)
    return (
        grad_x.to(x.dtype),
        grad_decay.mT.to(log_decay.dtype).contiguous(),
        grad_B.to(B.dtype),
        grad_C.to(C.dtype),
        _turned(adjoint).to(state.dtype),
    )


@_backward.register_fake
def _(
    grad_y: Tensor,
    grad_last: Tensor,
    x: Tensor,
    log_decay: Tensor,
    B: Tensor,
    C: Tensor,
    state: Tensor,
    runs: Tensor | None,
    borders: Tensor,
    chunk: int,
) -> Five:
    return cast(Five, tuple(tensor.new_empty(tensor.shape) for tensor in (x, log_decay, B, C, state)))


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Three) -> None:
    *tensors, ctx.chunk = inputs
    ctx.save_for_backward(*tensors, output[2])
    ctx.set_materialize_grads(False)


def _differentiate(
    ctx: Any, grad_y: Tensor | None, grad_last: Tensor | None, _: Tensor | None
) -> tuple[Tensor | None, ...]:
    saved = ctx.saved_tensors  # once: a checkpointed block unpacks them a single time
    grad_y = torch.zeros_like(saved[0]) if grad_y is None else grad_y
    grad_last = torch.zeros_like(saved[4]) if grad_last is None else grad_last
    grads = cast(Five, _backward(grad_y, grad_last, *saved, ctx.chunk))
    return (*(grad if need else None for grad, need in zip(grads, ctx.needs_input_grad, strict=False)), None, None)


_forward.register_autograd(_differentiate, setup_context=_keep)


def _decay(log_decay: Tensor, runs: Tensor | None) -> Tensor:
    """Factors of the state (b h l), zero where another run begins."""
    decay = log_decay.float().exp()
    if runs is not None:
        decay[:, 1:].masked_fill_((runs[:, 1:] != runs[:, :-1])[..., None], 0)
    return decay.mT.contiguous()


def _arguments(x: Tensor, decay: Tensor, B: Tensor, C: Tensor, chunk: int) -> tuple[Argument, ...]:
    """What all kernels begin with."""
    return (*_series(x), *_series(B), *_series(C), decay, *x.shape, *B.shape[2:], chunk)


def _series(tensor: Tensor) -> tuple[Argument, ...]:
    """A tensor (b l h p) in float32 and its first three strides; copied only if its last axis is not dense."""
    tensor = tensor.float()
    if tensor.stride(3) != 1:
        tensor = tensor.contiguous()
    return tensor, *tensor.stride()[:3]


def _borders(x: Tensor, B: Tensor, chunk: int) -> tuple[int, ...]:
    return x.shape[0], x.shape[2], -(-x.shape[1] // chunk), B.shape[3], x.shape[3]


def _turned(state: Tensor) -> Tensor:
    """A fresh copy in float32, width and states exchanged."""
    return state.mT.to(torch.float32, copy=True, memory_format=torch.contiguous_format)


def _fresh(x: Tensor, *shape: int) -> Tensor:
    """What a kernel writes: float32 beside x, whatever torch's default dtype and device are."""
    return x.new_empty(shape, dtype=torch.float32)
