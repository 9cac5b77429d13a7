"""The selective scan by the native kernel (CPU, states in float32)."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from armillary.core.ops.custom import custom_op
from armillary.core.ops.library import kernel
from armillary.core.ops.selective_scan.fused import Eight, Three, border_shape, join

CHUNK = 64
TASKS, BLOCK = 32, 16  # backward tasks to aim at, and channels of the smallest


def selective_scan_native(
    x: Float[Tensor, "b l d"],
    dt: Float[Tensor, "b l d"],
    A: Float[Tensor, "d n"],
    B: Float[Tensor, "b l g n"],
    C: Float[Tensor, "b l g n"],
    D: Float[Tensor, " d"] | None = None,
    z: Float[Tensor, "b l d"] | None = None,
    initial_state: Float[Tensor, "b d n"] | None = None,
    path: Int[Tensor, " l"] | None = None,
    reverse: bool = False,
    *,
    chunk: int | None = None,
) -> tuple[Float[Tensor, "b l d"], Float[Tensor, "b d n"]]:
    """See `selective_scan`; float32 inputs whose channels lie side by side are read where they are."""
    y, state, _ = _forward(x, dt, A, B, C, D, z, initial_state, path, reverse, chunk or CHUNK)
    return y, state


@custom_op("selective_scan_native")
def _forward(
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
    y, borders = _fresh(x, x.shape), _fresh(x, border_shape(x, A, chunk))
    state = _zeros(x, (x.shape[0], *A.shape)) if initial_state is None else initial_state.float()
    state = state.transpose(1, 2).clone(memory_format=torch.contiguous_format)
    call = kernel("selective_scan_forward")
    call(*_arguments(x, dt, A, B, C, D, z, path, reverse, chunk), y, borders, state)
    return y.to(x.dtype), state.transpose(1, 2).contiguous(), borders


@custom_op("selective_scan_native_backward")
def _backward(
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
    batch, _, width = x.shape
    # Sums over the channels of a group are cut by the sizes alone, so that they do not depend on the threads.
    tasks_a_group = -(-TASKS // max(batch * B.shape[2], 1))
    slices = max(1, min(tasks_a_group, -(-width // (B.shape[2] * BLOCK))))
    grad_x, grad_dt, grad_z = _fresh(x, x.shape), _fresh(x, x.shape), None if z is None else _fresh(x, x.shape)
    grad_A, grad_D = _zeros(x, (batch, A.shape[1], width)), _zeros(x, (batch, width))
    grad_B, grad_C = _fresh(x, (slices, *B.shape)), _fresh(x, (slices, *B.shape))
    before = grad_state.float().transpose(1, 2).clone(memory_format=torch.contiguous_format)
    given = (*_arguments(x, dt, A, B, C, D, z, path, reverse, chunk), borders.contiguous(), *_rows(grad_y))
    outputs = (grad_x, grad_dt, grad_z, grad_A, grad_D, before, grad_B, grad_C)
    kernel("selective_scan_backward")(*given, *outputs, slices)
    return (
        grad_x.to(x.dtype),
        grad_dt.to(dt.dtype),
        grad_A.sum(0).T.contiguous().to(A.dtype),
        grad_B.sum(0).to(B.dtype),
        grad_C.sum(0).to(C.dtype),
        x.new_empty(0) if D is None else grad_D.sum(0).to(D.dtype),
        x.new_empty(0) if z is None or grad_z is None else grad_z.to(z.dtype),
        before.transpose(1, 2).contiguous().to(grad_state.dtype),
    )


join(_forward, _backward)

Argument = Tensor | int | None


def _arguments(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    path: Tensor | None,
    reverse: bool,
    chunk: int,
) -> tuple[Argument, ...]:
    """What both kernels begin with."""
    rows = (argument for tensor in (x, dt, z, B, C) for argument in _rows(tensor))
    decay = A.float().T.contiguous()
    skip = None if D is None else D.float().contiguous()
    order = None if path is None else path.long().contiguous()
    return (*rows, decay, skip, order, reverse, *x.shape, *B.shape[2:], chunk)


def _fresh(x: Tensor, shape: Sequence[int]) -> Tensor:
    """What a kernel writes: float32 beside x, whatever torch's default dtype and device are."""
    return x.new_empty(shape, dtype=torch.float32)


def _zeros(x: Tensor, shape: Sequence[int]) -> Tensor:
    return x.new_zeros(shape, dtype=torch.float32)


def _rows(tensor: Tensor | None) -> tuple[Argument, Argument, Argument]:
    """A tensor (batch, token, ...) in float32 and its two leading strides; copied only if its rows are not dense."""
    if tensor is None:
        return None, 0, 0
    tensor = tensor.float()
    if not tensor[0:1, 0:1].is_contiguous():
        tensor = tensor.contiguous()
    return tensor, tensor.stride(0), tensor.stride(1)
