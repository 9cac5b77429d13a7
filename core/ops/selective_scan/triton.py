"""The selective scan on a GPU: all chunks at once, in three kernels forward and three backward.

A chunk's end is first computed from a state of zero (summaries), a short scan over chunks turns these into the state
before each chunk (borders), and then every chunk runs from its border. Backward does the same for the gradient of the
state, and runs each chunk's states once more from its border. A tile holds all states of a block of channels, states
by channels, so that a thread owns whole channels; channels lie side by side in memory, and a token, or its place on a
path, is a row. Everything is computed in float32.
"""

# pyright: reportMissingParameterType=false, reportUnknownParameterType=false, reportPrivateUsage=false
from typing import Any, no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from armillary.core.ops.custom import custom_op
from armillary.core.ops.selective_scan.fused import Eight, Three, border_shape, join
from armillary.core.ops.tuned import Tuned

CHUNK = 64
BLOCK = 32  # channels of a program that computes gradients: one a thread of a warp
PROGRAMS = 1024  # that compute gradients at once, each with memory for the states of a chunk
CARRY_BLOCK = 256


def selective_scan_triton(
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
    """See `selective_scan`; inputs whose channels lie side by side are read where they are, in their own precision."""
    y, state, _ = _forward(x, dt, A, B, C, D, z, initial_state, path, reverse, chunk or CHUNK)
    return y, state


@triton.jit
@no_type_check
def _token(step, path, length, REVERSE: tl.constexpr):
    """The token visited at a step."""
    place = step
    if REVERSE:
        place = length - 1 - step
    if path is not None:
        place = tl.load(path + place)
    return place.to(tl.int64)


@triton.jit
@no_type_check
def _row(rows, batch_stride, token_stride, batch, token, columns, mask):
    """One row of an input (batch, token, columns)."""
    return tl.load(rows + batch * batch_stride + token * token_stride + columns, mask=mask, other=0.0).to(tl.float32)


@triton.jit
@no_type_check
def _columns(groups, width, block, BLOCK: tl.constexpr):
    """The group of a block of channels, its channels, and which of them exist. Blocks never straddle groups."""
    share = width // groups
    blocks = tl.cdiv(share, BLOCK)
    inside = block % blocks * BLOCK + tl.arange(0, BLOCK)
    return block // blocks, block // blocks * share + inside, inside < share


@triton.jit
@no_type_check
def _gate(z):
    """silu(z), and its slope."""
    opened = 1 / (1 + tl.exp(-z))
    return z * opened, opened * (1 + z * (1 - opened))


@triton.jit
@no_type_check
def _summary_kernel(
    x, dt, B, A, path, ends, times, sx, sxt, sdt, sdtt, sB, sBt,
    length, width, groups, chunk,
    STATES: tl.constexpr, N: tl.constexpr, REVERSE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The state after each chunk had it begun at zero, and the time each chunk takes: Σ dt."""
    c, batch = tl.program_id(0), tl.program_id(2).to(tl.int64)
    group, channel, real = _columns(groups, width, tl.program_id(1), BLOCK)
    n = tl.arange(0, N)
    plane = n[:, None] * width + channel[None, :]
    kept = (n < STATES)[:, None] & real[None, :]
    decay_rate = tl.load(A + plane, mask=kept, other=0.0)
    h = tl.zeros([N, BLOCK], tl.float32)
    time = tl.zeros([BLOCK], tl.float32)
    for step in range(c * chunk, tl.minimum((c + 1) * chunk, length)):
        token = _token(step, path, length, REVERSE)
        step_size = _row(dt, sdt, sdtt, batch, token, channel, real)
        drive = step_size * _row(x, sx, sxt, batch, token, channel, real)
        weight = _row(B, sB, sBt, batch, token, group * STATES + n, n < STATES)
        h = tl.exp(step_size[None, :] * decay_rate) * h + drive[None, :] * weight[:, None]
        time += step_size
    place = batch * tl.num_programs(0) + c
    tl.store(ends + place * STATES * width + plane, h, mask=kept)
    tl.store(times + place * width + channel, time, mask=real)


@triton.jit
@no_type_check
def _carry_kernel(
    ends, times, A, first, last, chunks, width, size, BACKWARDS: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    """From what each chunk adds to what enters it, in place, over chunks in either direction."""
    batch = tl.program_id(1).to(tl.int64)
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    kept = place < size
    decay_rate = tl.load(A + place, mask=kept, other=0.0)
    state = tl.load(first + batch * size + place, mask=kept, other=0.0)
    for i in range(chunks):
        c = i
        if BACKWARDS:
            c = chunks - 1 - i
        here = ends + (batch * chunks + c) * size + place
        end = tl.load(here, mask=kept, other=0.0)
        time = tl.load(times + (batch * chunks + c) * width + place % width, mask=kept, other=0.0)
        tl.store(here, state, mask=kept)
        state = tl.exp(time * decay_rate) * state + end
    tl.store(last + batch * size + place, state, mask=kept)


@triton.jit
@no_type_check
def _output_kernel(
    x, dt, z, B, C, A, D, path, borders, y, sx, sxt, sdt, sdtt, sz, szt, sB, sBt, sC, sCt,
    length, width, groups, chunk,
    STATES: tl.constexpr, N: tl.constexpr, REVERSE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """y of one chunk, from the state before it."""
    c, batch = tl.program_id(0), tl.program_id(2).to(tl.int64)
    group, channel, real = _columns(groups, width, tl.program_id(1), BLOCK)
    n = tl.arange(0, N)
    plane = n[:, None] * width + channel[None, :]
    kept = (n < STATES)[:, None] & real[None, :]
    decay_rate = tl.load(A + plane, mask=kept, other=0.0)
    h = tl.load(borders + (batch * tl.num_programs(0) + c) * STATES * width + plane, mask=kept, other=0.0)
    for step in range(c * chunk, tl.minimum((c + 1) * chunk, length)):
        token = _token(step, path, length, REVERSE)
        step_size = _row(dt, sdt, sdtt, batch, token, channel, real)
        value = _row(x, sx, sxt, batch, token, channel, real)
        weight = _row(B, sB, sBt, batch, token, group * STATES + n, n < STATES)
        read = _row(C, sC, sCt, batch, token, group * STATES + n, n < STATES)
        h = tl.exp(step_size[None, :] * decay_rate) * h + (step_size * value)[None, :] * weight[:, None]
        out = tl.sum(h * read[:, None], axis=0)
        if D is not None:
            out += tl.load(D + channel, mask=real, other=0.0) * value
        if z is not None:
            gate, _ = _gate(_row(z, sz, szt, batch, token, channel, real))
            out *= gate
        tl.store(y + (batch * length + token) * width + channel, out.to(y.dtype.element_ty), mask=real)


@triton.jit
@no_type_check
def _costate_kernel(
    dt, z, C, A, path, grad_y, ends, times, sdt, sdtt, sz, szt, sC, sCt, sg, sgt,
    length, width, groups, chunk,
    STATES: tl.constexpr, N: tl.constexpr, REVERSE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The gradient of the state before each chunk had that after it been zero, and the time each chunk takes."""
    c, batch = tl.program_id(0), tl.program_id(2).to(tl.int64)
    group, channel, real = _columns(groups, width, tl.program_id(1), BLOCK)
    n = tl.arange(0, N)
    plane = n[:, None] * width + channel[None, :]
    kept = (n < STATES)[:, None] & real[None, :]
    decay_rate = tl.load(A + plane, mask=kept, other=0.0)
    later = tl.zeros([N, BLOCK], tl.float32)
    time = tl.zeros([BLOCK], tl.float32)
    first, last = c * chunk, tl.minimum((c + 1) * chunk, length)
    for i in range(last - first):
        token = _token(last - 1 - i, path, length, REVERSE)
        step_size = _row(dt, sdt, sdtt, batch, token, channel, real)
        grad = _row(grad_y, sg, sgt, batch, token, channel, real)
        read = _row(C, sC, sCt, batch, token, group * STATES + n, n < STATES)
        if z is not None:
            gate, _ = _gate(_row(z, sz, szt, batch, token, channel, real))
            grad *= gate
        later = tl.exp(step_size[None, :] * decay_rate) * (read[:, None] * grad[None, :] + later)
        time += step_size
    place = batch * tl.num_programs(0) + c
    tl.store(ends + place * STATES * width + plane, later, mask=kept)
    tl.store(times + place * width + channel, time, mask=real)


@triton.jit
@no_type_check
def _gradient_kernel(
    x, dt, z, B, C, A, D, path, grad_y, borders, costates, states,
    grad_x, grad_dt, grad_z, grad_A, grad_D, grad_B, grad_C,
    sx, sxt, sdt, sdtt, sz, szt, sB, sBt, sC, sCt, sg, sgt,
    length, width, groups, chunk, chunks,
    STATES: tl.constexpr, N: tl.constexpr, REVERSE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Every gradient of every few-th chunk, from the state before it and the gradient of the state after it.

    `states` is this program's memory for the states of one chunk. Gradients of A and D are sums over the program's
    chunks, those of B and C over its channels.
    """
    batch, batches = tl.program_id(2).to(tl.int64), tl.num_programs(2)
    blocks = tl.num_programs(1) // groups
    group, channel, real = _columns(groups, width, tl.program_id(1), BLOCK)
    n = tl.arange(0, N)
    weights = n < STATES
    plane = n[:, None] * width + channel[None, :]
    kept = weights[:, None] & real[None, :]
    decay_rate = tl.load(A + plane, mask=kept, other=0.0)
    program = (tl.program_id(0) * batches + batch) * tl.num_programs(1) + tl.program_id(1)
    slots = states + program * chunk * N * BLOCK + n[:, None] * BLOCK + tl.arange(0, BLOCK)[None, :]
    skip = tl.zeros([BLOCK], tl.float32)
    if D is not None:
        skip = tl.load(D + channel, mask=real, other=0.0)
    rate_total = tl.zeros([N, BLOCK], tl.float32)
    skip_total = tl.zeros([BLOCK], tl.float32)
    for c in range(tl.program_id(0), chunks, tl.num_programs(0)):
        first, last = c * chunk, tl.minimum((c + 1) * chunk, length)
        border = (batch * chunks + c) * STATES * width + plane
        h = tl.load(borders + border, mask=kept, other=0.0)
        for step in range(first, last):
            token = _token(step, path, length, REVERSE)
            step_size = _row(dt, sdt, sdtt, batch, token, channel, real)
            drive = step_size * _row(x, sx, sxt, batch, token, channel, real)
            weight = _row(B, sB, sBt, batch, token, group * STATES + n, weights)
            tl.store(slots + (step - first) * N * BLOCK, h)
            h = tl.exp(step_size[None, :] * decay_rate) * h + drive[None, :] * weight[:, None]
        tl.debug_barrier()  # other threads may read what this one stored
        later = tl.load(costates + border, mask=kept, other=0.0)
        rate_sum = tl.zeros([N, BLOCK], tl.float32)
        skip_sum = tl.zeros([BLOCK], tl.float32)
        for i in range(last - first):
            step = last - 1 - i
            token = _token(step, path, length, REVERSE)
            step_size = _row(dt, sdt, sdtt, batch, token, channel, real)
            value = _row(x, sx, sxt, batch, token, channel, real)
            weight = _row(B, sB, sBt, batch, token, group * STATES + n, weights)
            read = _row(C, sC, sCt, batch, token, group * STATES + n, weights)
            grad = _row(grad_y, sg, sgt, batch, token, channel, real)
            drive = step_size * value
            decay = tl.exp(step_size[None, :] * decay_rate)
            before = tl.load(slots + (step - first) * N * BLOCK)
            here = decay * before + drive[None, :] * weight[:, None]
            row = (batch * length + token) * width + channel
            if z is not None:
                gate, slope = _gate(_row(z, sz, szt, batch, token, channel, real))
                out = tl.sum(here * read[:, None], axis=0) + skip * value
                tl.store(grad_z + row, (grad * out * slope).to(grad_z.dtype.element_ty), mask=real)
                grad *= gate
            costate = read[:, None] * grad[None, :] + later
            later = decay * costate
            exponent = later * before
            driven = tl.sum(costate * weight[:, None], axis=0)
            grad_step = value * driven + tl.sum(exponent * decay_rate, axis=0)
            rate_sum += exponent * step_size[None, :]
            skip_sum += grad * value
            tl.store(grad_x + row, (step_size * driven + skip * grad).to(grad_x.dtype.element_ty), mask=real)
            tl.store(grad_dt + row, grad_step.to(grad_dt.dtype.element_ty), mask=real)
            shared = ((tl.program_id(1) % blocks * batches + batch) * length + token) * groups + group
            tl.store(grad_B + shared * STATES + n, tl.sum(costate * drive[None, :], axis=1), mask=weights)
            tl.store(grad_C + shared * STATES + n, tl.sum(here * grad[None, :], axis=1), mask=weights)
        tl.debug_barrier()  # before the next chunk takes the memory over
        # Added once a chunk: the error of a sum grows with the number of its terms.
        rate_total += rate_sum
        skip_total += skip_sum
    total = tl.program_id(0) * batches + batch
    tl.store(grad_A + total * STATES * width + plane, rate_total, mask=kept)
    tl.store(grad_D + total * width + channel, skip_total, mask=real)


_BLOCKS = [
    {"BLOCK": 32, "num_warps": 1},
    {"BLOCK": 64, "num_warps": 1},
    {"BLOCK": 64, "num_warps": 2},
    {"BLOCK": 128, "num_warps": 4},
]
_KEY = ("width", "STATES")
SUMMARY = Tuned(_summary_kernel, configs=_BLOCKS, key=_KEY)
OUTPUT = Tuned(_output_kernel, configs=_BLOCKS, key=_KEY)
COSTATE = Tuned(_costate_kernel, configs=_BLOCKS, key=_KEY)
# The block is fixed here, since sums over the channels of each block leave the kernel.
GRADIENT = Tuned(_gradient_kernel, configs=[{"num_warps": 1}, {"num_warps": 2}, {"num_warps": 4}], key=_KEY)


@custom_op("selective_scan_triton")
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
    x, dt, weight, read = map(_dense, (x, dt, B, C))
    z, skip = None if z is None else _dense(z), None if D is None else D.contiguous()
    rate = A.float().T.contiguous()
    first = x.new_zeros(x.shape[0], *rate.shape, dtype=torch.float32)
    first = first if initial_state is None else initial_state.float().transpose(1, 2).contiguous()
    borders = x.new_empty(border_shape(x, A, chunk), dtype=torch.float32)
    y, state, times = x.new_empty(x.shape), torch.empty_like(first), _times(borders)
    sizes, grid = _sizes(x, B, chunk, reverse), _grid(x, B, borders.shape[1])
    if borders.numel():
        SUMMARY[grid](x, dt, weight, rate, path, borders, times, *_strides(x, dt, weight), **sizes)
    _carry(borders, times, rate, first, state, backwards=False)
    if borders.numel():
        inputs = (x, dt, z, weight, read)
        OUTPUT[grid](*inputs, rate, skip, path, borders, y, *_strides(*inputs), **sizes)
    return y, state.transpose(1, 2).contiguous(), borders


@custom_op("selective_scan_triton_backward")
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
    x, dt, weight, read, grad_y = map(_dense, (x, dt, B, C, grad_y))
    z, skip = None if z is None else _dense(z), None if D is None else D.contiguous()
    rate, borders = A.float().T.contiguous(), borders.contiguous()
    after = grad_state.float().transpose(1, 2).contiguous()
    costates, before, times = torch.empty_like(borders), torch.empty_like(after), _times(borders)
    sizes = _sizes(x, B, chunk, reverse)
    if borders.numel():
        grid, strides = _grid(x, B, borders.shape[1]), _strides(dt, z, read, grad_y)
        COSTATE[grid](dt, z, read, rate, path, grad_y, costates, times, *strides, **sizes)
    _carry(costates, times, rate, after, before, backwards=True)
    grads = _gradients(x, dt, z, weight, read, rate, skip, path, grad_y, borders, costates, sizes)
    grad_x, grad_dt, grad_z, grad_A, grad_D, grad_B, grad_C = grads
    return (
        grad_x,
        grad_dt,
        grad_A.sum((0, 1)).T.contiguous().to(A.dtype),
        grad_B.sum(0).to(B.dtype),
        grad_C.sum(0).to(C.dtype),
        x.new_empty(0) if D is None else grad_D.sum((0, 1)).to(D.dtype),
        x.new_empty(0) if grad_z is None else grad_z,
        before.transpose(1, 2).contiguous().to(grad_state.dtype),
    )


join(_forward, _backward)


def _gradients(
    x: Tensor,
    dt: Tensor,
    z: Tensor | None,
    B: Tensor,
    C: Tensor,
    rate: Tensor,
    skip: Tensor | None,
    path: Tensor | None,
    grad_y: Tensor,
    borders: Tensor,
    costates: Tensor,
    sizes: dict[str, Any],
) -> tuple[Tensor, Tensor, Tensor | None, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of x, dt and z, and partial sums of those of A, D, B and C along their first axes."""
    batch, chunks = borders.shape[:2]
    blocks = -(-x.shape[2] // (B.shape[2] * BLOCK))
    programs = max(1, min(chunks, PROGRAMS // max(batch * B.shape[2] * blocks, 1)))
    grid = (programs, B.shape[2] * blocks, batch)
    states = borders.new_empty(*grid, sizes["chunk"], sizes["N"], BLOCK)
    grad_x, grad_dt = x.new_empty(x.shape), dt.new_empty(dt.shape)
    grad_z = None if z is None else z.new_empty(z.shape)
    grad_A, grad_D = borders.new_zeros(programs, batch, *rate.shape), borders.new_zeros(programs, batch, x.shape[2])
    grad_B, grad_C = borders.new_empty(blocks, *B.shape), borders.new_empty(blocks, *B.shape)
    grads = (grad_x, grad_dt, grad_z, grad_A, grad_D, grad_B, grad_C)
    if borders.numel():
        inputs = (x, dt, z, B, C, rate, skip, path, grad_y, borders, costates, states)
        GRADIENT[grid](*inputs, *grads, *_strides(x, dt, z, B, C, grad_y), chunks=chunks, BLOCK=BLOCK, **sizes)
    return grads


def _carry(ends: Tensor, times: Tensor, rate: Tensor, first: Tensor, last: Tensor, *, backwards: bool) -> None:
    """Turns what each chunk adds into what enters it, in place, and writes what leaves the last one."""
    batch, chunks, size = ends.shape[0], ends.shape[1], rate.numel()
    if batch and size:
        grid = (triton.cdiv(size, CARRY_BLOCK), batch)
        _carry_kernel[grid](
            ends, times, rate, first, last, chunks, rate.shape[1], size, BACKWARDS=backwards, BLOCK=CARRY_BLOCK
        )


def _times(borders: Tensor) -> Tensor:
    """Memory for the time that each chunk takes, (b chunks d)."""
    return borders.new_empty(borders.shape[0], borders.shape[1], borders.shape[3])


def _sizes(x: Tensor, B: Tensor, chunk: int, reverse: bool) -> dict[str, Any]:
    """Sizes that all kernels over chunks take."""
    groups, states = B.shape[2:]
    steps = max(1, min(chunk, x.shape[1]))
    named = {"length": x.shape[1], "width": x.shape[2], "groups": groups, "chunk": steps}
    return {**named, "STATES": states, "N": triton.next_power_of_2(states), "REVERSE": reverse}


def _grid(x: Tensor, B: Tensor, chunks: int) -> Any:
    """One program for each chunk, block of channels and batch row."""
    groups = B.shape[2]
    return lambda config: (chunks, groups * triton.cdiv(x.shape[2] // groups, config["BLOCK"]), x.shape[0])


def _dense(tensor: Tensor) -> Tensor:
    """The tensor (batch, token, ...), copied only if its rows are not dense."""
    return tensor if tensor[0:1, 0:1].is_contiguous() else tensor.contiguous()


def _strides(*tensors: Tensor | None) -> tuple[int, ...]:
    """The two leading strides of each tensor."""
    return tuple(stride for tensor in tensors for stride in ((0, 0) if tensor is None else tensor.stride()[:2]))
