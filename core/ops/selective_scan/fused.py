"""What the fused tiers share: operators of one signature, their shapes for tracing, and how a gradient reaches them."""

from typing import Any

import torch
from torch import Tensor

Three = tuple[Tensor, Tensor, Tensor]
Eight = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


def join(forward: Any, backward: Any) -> None:
    """Tells torch the shapes of both operators, and that `backward` has the gradients of `forward`.

    forward(x, dt, A, B, C, D, z, initial_state, path, reverse, chunk) -> y, final state, and the state before each
    chunk, (b chunks n d). backward takes the gradients of y and of the final state, the same arguments with those
    states in the place of the initial one, and gives the gradients of the eight tensors; those of an absent D and z
    are empty.
    """
    forward.register_fake(_forward_shapes)
    backward.register_fake(_backward_shapes)

    def gradients(ctx: Any, grad_y: Tensor | None, grad_state: Tensor | None, _: Tensor | None) -> tuple[Any, ...]:
        saved = ctx.saved_tensors  # once: a checkpointed block unpacks them a single time
        x, A = saved[0], saved[2]
        grad_y = torch.zeros_like(x) if grad_y is None else grad_y
        grad_state = x.new_zeros(x.shape[0], *A.shape, dtype=torch.float32) if grad_state is None else grad_state
        grads = backward(grad_y, grad_state, *saved, ctx.reverse, ctx.chunk)
        needed = (grad if need else None for grad, need in zip(grads, ctx.needs_input_grad, strict=False))
        return (*needed, None, None, None)

    forward.register_autograd(gradients, setup_context=_save)


def border_shape(x: Tensor, A: Tensor, chunk: int) -> tuple[int, int, int, int]:
    """Batch, chunks, states and channels."""
    return x.shape[0], -(-x.shape[1] // chunk), A.shape[1], x.shape[2]


def _save(ctx: Any, inputs: tuple[Any, ...], output: Three) -> None:
    path, ctx.reverse, ctx.chunk = inputs[8:]
    ctx.save_for_backward(*inputs[:7], output[2], path)
    ctx.set_materialize_grads(False)


def _forward_shapes(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    initial_state: Tensor | None,
    path: Tensor | None,
    reverse: bool,
    chunk: int,
) -> Three:
    return (
        x.new_empty(x.shape),
        x.new_empty(x.shape[0], *A.shape, dtype=torch.float32),
        x.new_empty(border_shape(x, A, chunk), dtype=torch.float32),
    )


def _backward_shapes(
    grad_y: Tensor,
    grad_state: Tensor,
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    borders: Tensor,
    path: Tensor | None,
    reverse: bool,
    chunk: int,
) -> Eight:
    x_grad, dt_grad, A_grad, B_grad, C_grad = (tensor.new_empty(tensor.shape) for tensor in (x, dt, A, B, C))
    D_grad, z_grad = (x.new_empty(0) if tensor is None else tensor.new_empty(tensor.shape) for tensor in (D, z))
    return x_grad, dt_grad, A_grad, B_grad, C_grad, D_grad, z_grad, torch.empty_like(grad_state)
