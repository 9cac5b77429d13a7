"""The scalar-decay recurrence on a GPU: one kernel runs the states from chunk to chunk, others fill the chunks.

The state that enters each chunk is kept; all else is recomputed in backward. Exponents are sums of log-decays between
two steps, each by itself: differences of one running sum cancel. Where a product is needed both ways round it is
computed twice: transposed results of a dot have been miscompiled as operands.

Axis letters of tiles: Q steps of a chunk (i, j, k), P head width, N states. A program's first index is its row, one
head of one sequence, or its row and chunk.
"""

# pyright: reportMissingParameterType=false, reportUnknownParameterType=false, reportPrivateUsage=false
from collections.abc import Mapping
from typing import Any, cast, no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from armillary.core.ops.custom import custom_op
from armillary.core.ops.scalar_decay.runs import number_runs
from armillary.core.ops.tuned import Tuned, interpreting

CHUNK = 64
SMALLEST, LARGEST = 16, 64  # a matrix product needs 16 rows; larger chunks do not fit a multiprocessor in float32


def scalar_decay_triton(
    x: Float[Tensor, "b l h p"],
    log_decay: Float[Tensor, "b l h"],
    B: Float[Tensor, "b l g n"],
    C: Float[Tensor, "b l g n"],
    initial_state: Float[Tensor, "b h p n"] | None = None,
    segments: Int[Tensor, "b l"] | None = None,
    *,
    chunk: int | None = None,
) -> tuple[Float[Tensor, "b l h p"], Float[Tensor, "b h p n"]]:
    """See `scalar_decay`. Chunks are a power of two from 16 to 64, 64 if not said.

    Products are taken in bfloat16 where x, B and C are, else in float32; sums, states and exponentials in float32.
    """
    shape = (x.shape[0], *x.shape[2:], B.shape[-1])
    state = x.new_zeros(shape, dtype=torch.float32) if initial_state is None else initial_state.float()
    if 0 in x.shape[:2]:
        return x, state
    dtype = torch.promote_types(x.dtype, torch.promote_types(B.dtype, C.dtype))
    inputs, keys, queries = (tensor.to(dtype).contiguous() for tensor in (x, B, C))
    run = None if segments is None else number_runs(segments).int().contiguous()
    size = min(LARGEST, max(SMALLEST, triton.next_power_of_2(min(chunk or CHUNK, x.shape[1]))))
    results = _forward(inputs, log_decay.float().contiguous(), keys, queries, state.contiguous(), run, size)
    y, last, _ = cast(tuple[Tensor, ...], results)
    return y.to(x.dtype), last


@triton.jit
@no_type_check
def _tile(pointer, rows, row_stride, some_rows, columns, column_stride, some_columns):
    """Elements at rows and columns, zero outside; with rows and columns exchanged it is the transposed tile."""
    places = rows[:, None] * row_stride + columns[None, :] * column_stride
    return tl.load(pointer + places, mask=some_rows[:, None] & some_columns[None, :], other=0.0)


@triton.jit
@no_type_check
def _decays(log_decay, run, chunk, length, stride, Q: tl.constexpr, PACKED: tl.constexpr):
    """Log-decays and runs of a chunk's steps; decay from its entry to each step, from each to its end, and over it."""
    q = tl.arange(0, Q)
    t = chunk * Q + q
    g = tl.load(log_decay + t * stride, mask=t < length, other=0.0).to(tl.float32)
    entry = tl.sum(tl.where(q[None, :] <= q[:, None], g[None, :], 0.0), axis=1)
    leave = tl.sum(tl.where(q[None, :] > q[:, None], g[None, :], 0.0), axis=1)
    whole = tl.sum(g, axis=0)
    here = q
    if PACKED:
        here = tl.load(run + t, mask=t < length, other=-1)
        before = tl.load(run + tl.maximum(chunk * Q - 1, 0))
        final = tl.load(run + tl.minimum(chunk * Q + Q, length) - 1)
        entry = tl.where(here == before, entry, float("-inf"))
        leave = tl.where(here == final, leave, float("-inf"))
        whole = tl.where(before == final, whole, float("-inf"))
    return g, here, tl.exp(entry), tl.exp(leave), tl.exp(whole)


@triton.jit
@no_type_check
def _within(g, here, Q: tl.constexpr, PACKED: tl.constexpr):
    """Decay from step j to step i of a chunk, as (i, j); masked before the exponential."""
    q = tl.arange(0, Q)
    sums = tl.cumsum(tl.where(q[:, None] > q[None, :], g[:, None], 0.0), axis=0)
    keep = q[:, None] >= q[None, :]
    if PACKED:
        keep = keep & (here[:, None] == here[None, :])
    return tl.exp(tl.where(keep, sums, float("-inf")))


@triton.jit
@no_type_check
def _within_turned(g, here, Q: tl.constexpr, PACKED: tl.constexpr):
    """The same as (j, i)."""
    q = tl.arange(0, Q)
    sums = tl.cumsum(tl.where(q[None, :] > q[:, None], g[None, :], 0.0), axis=1)
    keep = q[None, :] >= q[:, None]
    if PACKED:
        keep = keep & (here[:, None] == here[None, :])
    return tl.exp(tl.where(keep, sums, float("-inf")))


@triton.jit
@no_type_check
def _states(
    x, log_decay, B, run, first, kept, last, length, chunks, heads, groups,
    P: tl.constexpr, N: tl.constexpr, Q: tl.constexpr, PACKED: tl.constexpr, DOT: tl.constexpr,
    BP: tl.constexpr, BN: tl.constexpr,
):  # fmt: skip
    """A (BP, BN) tile of one row's state, from the first chunk to the last: kept before each chunk, and given back."""
    row = tl.program_id(0).to(tl.int64)
    batch, head = row // heads, row % heads
    p, n, q = tl.program_id(1) * BP + tl.arange(0, BP), tl.program_id(2) * BN + tl.arange(0, BN), tl.arange(0, Q)
    places, inside = p[:, None] * N + n[None, :], (p < P)[:, None] & (n < N)[None, :]
    x += (batch * length * heads + head) * P
    B += (batch * length * groups + head // (heads // groups)) * N
    log_decay += batch * length * heads + head
    run += batch * length
    state = tl.load(first + row * P * N + places, mask=inside, other=0.0)
    for chunk in range(chunks):
        tl.store(kept + (row * chunks + chunk) * P * N + places, state, mask=inside)
        t = chunk * Q + q
        _, _, _, leave, whole = _decays(log_decay, run, chunk, length, heads, Q, PACKED)
        inputs = _tile(x, p, 1, p < P, t, heads * P, t < length) * leave[None, :]
        weights = _tile(B, t, groups * N, t < length, n, 1, n < N)
        state = state * whole + tl.dot(inputs.to(DOT), weights.to(DOT), input_precision="ieee")
    tl.store(last + row * P * N + places, state, mask=inside)


@triton.jit
@no_type_check
def _outputs(
    x, log_decay, B, C, run, kept, y, length, chunks, heads, groups,
    P: tl.constexpr, N: tl.constexpr, Q: tl.constexpr, PACKED: tl.constexpr, DOT: tl.constexpr,
    BP: tl.constexpr, BN: tl.constexpr,
):  # fmt: skip
    """A (Q, BP) tile of y: what the chunk reads from itself and from the state that enters it."""
    index = tl.program_id(0).to(tl.int64)
    row, chunk = index // chunks, index % chunks
    batch, head = row // heads, row % heads
    p, q = tl.program_id(1) * BP + tl.arange(0, BP), tl.arange(0, Q)
    t = chunk * Q + q
    x += (batch * length * heads + head) * P
    y += (batch * length * heads + head) * P
    B += (batch * length * groups + head // (heads // groups)) * N
    C += (batch * length * groups + head // (heads // groups)) * N
    kept += index * P * N
    g, here, entry, _, _ = _decays(
        log_decay + batch * length * heads + head, run + batch * length, chunk, length, heads, Q, PACKED
    )
    scores, read = tl.zeros((Q, Q), tl.float32), tl.zeros((Q, BP), tl.float32)
    for start in range(0, N, BN):
        n = start + tl.arange(0, BN)
        queries = _tile(C, t, groups * N, t < length, n, 1, n < N).to(DOT)
        keys_turned = _tile(B, n, 1, n < N, t, groups * N, t < length).to(DOT)
        state_turned = _tile(kept, n, 1, n < N, p, N, p < P).to(DOT)
        scores = tl.dot(queries, keys_turned, scores, input_precision="ieee")
        read = tl.dot(queries, state_turned, read, input_precision="ieee")
    inputs = _tile(x, t, heads * P, t < length, p, 1, p < P).to(DOT)
    weights = (scores * _within(g, here, Q, PACKED)).to(DOT)
    out = read * entry[:, None] + tl.dot(weights, inputs, input_precision="ieee")
    places, inside = t[:, None] * heads * P + p[None, :], (t < length)[:, None] & (p < P)[None, :]
    tl.store(y + places, out.to(y.dtype.element_ty), mask=inside)


@triton.jit
@no_type_check
def _states_back(
    grad_y, log_decay, C, run, grad_last, leaving, grad_first, length, chunks, heads, groups,
    P: tl.constexpr, N: tl.constexpr, Q: tl.constexpr, PACKED: tl.constexpr, DOT: tl.constexpr,
    BP: tl.constexpr, BN: tl.constexpr,
):  # fmt: skip
    """A tile of the gradient of one row's state, from the last chunk to the first: kept as it leaves each chunk."""
    row = tl.program_id(0).to(tl.int64)
    batch, head = row // heads, row % heads
    p, n, q = tl.program_id(1) * BP + tl.arange(0, BP), tl.program_id(2) * BN + tl.arange(0, BN), tl.arange(0, Q)
    places, inside = p[:, None] * N + n[None, :], (p < P)[:, None] & (n < N)[None, :]
    grad_y += (batch * length * heads + head) * P
    C += (batch * length * groups + head // (heads // groups)) * N
    log_decay += batch * length * heads + head
    run += batch * length
    state = tl.load(grad_last + row * P * N + places, mask=inside, other=0.0)
    for step in range(chunks):
        chunk = chunks - 1 - step
        tl.store(leaving + (row * chunks + chunk) * P * N + places, state, mask=inside)
        t = chunk * Q + q
        _, _, entry, _, whole = _decays(log_decay, run, chunk, length, heads, Q, PACKED)
        upstream = _tile(grad_y, p, 1, p < P, t, heads * P, t < length) * entry[None, :]
        queries = _tile(C, t, groups * N, t < length, n, 1, n < N)
        state = state * whole + tl.dot(upstream.to(DOT), queries.to(DOT), input_precision="ieee")
    tl.store(grad_first + row * P * N + places, state, mask=inside)


@triton.jit
@no_type_check
def _inputs_back(
    x, log_decay, B, C, run, kept, leaving, grad_y, grad_x, grad_log, length, chunks, heads, groups,
    P: tl.constexpr, N: tl.constexpr, Q: tl.constexpr, PACKED: tl.constexpr, DOT: tl.constexpr,
    BP: tl.constexpr, BN: tl.constexpr,
):  # fmt: skip
    """Gradients of x and of the log-decays of one chunk."""
    index = tl.program_id(0).to(tl.int64)
    row, chunk = index // chunks, index % chunks
    batch, head = row // heads, row % heads
    q = tl.arange(0, Q)
    t = chunk * Q + q
    sequences = (batch * length * heads + head) * P
    B += (batch * length * groups + head // (heads // groups)) * N
    C += (batch * length * groups + head // (heads // groups)) * N
    g, here, entry, leave, whole = _decays(
        log_decay + batch * length * heads + head, run + batch * length, chunk, length, heads, Q, PACKED
    )
    scores = tl.zeros((Q, Q), tl.float32)  # (j, i)
    for start in range(0, N, BN):
        n = start + tl.arange(0, BN)
        keys = _tile(B, t, groups * N, t < length, n, 1, n < N).to(DOT)
        queries_turned = _tile(C, n, 1, n < N, t, groups * N, t < length).to(DOT)
        scores = tl.dot(keys, queries_turned, scores, input_precision="ieee")
    weights = scores * _within_turned(g, here, Q, PACKED)
    grad_weights = tl.zeros((Q, Q), tl.float32)
    grad_entry, grad_leave = tl.zeros((Q,), tl.float32), tl.zeros((Q,), tl.float32)
    grad_whole = 0.0
    for offset in range(0, P, BP):
        p = offset + tl.arange(0, BP)
        inputs = _tile(x + sequences, t, heads * P, t < length, p, 1, p < P)
        upstream = _tile(grad_y + sequences, t, heads * P, t < length, p, 1, p < P)
        upstream_turned = _tile(grad_y + sequences, p, 1, p < P, t, heads * P, t < length)
        read, written = tl.zeros((Q, BP), tl.float32), tl.zeros((Q, BP), tl.float32)
        for start in range(0, N, BN):
            n = start + tl.arange(0, BN)
            keys = _tile(B, t, groups * N, t < length, n, 1, n < N).to(DOT)
            queries = _tile(C, t, groups * N, t < length, n, 1, n < N).to(DOT)
            entering_turned = _tile(kept + index * P * N, n, 1, n < N, p, N, p < P)
            leaving_turned = _tile(leaving + index * P * N, n, 1, n < N, p, N, p < P)
            read = tl.dot(queries, entering_turned.to(DOT), read, input_precision="ieee")
            written = tl.dot(keys, leaving_turned.to(DOT), written, input_precision="ieee")
            grad_whole += tl.sum(tl.sum(entering_turned * leaving_turned, axis=1), axis=0)
        written = written * leave[:, None]
        grad_entry += tl.sum(upstream * read, axis=1)
        grad_leave += tl.sum(inputs * written, axis=1)
        grad_weights = tl.dot(inputs.to(DOT), upstream_turned.to(DOT), grad_weights, input_precision="ieee")
        out = written + tl.dot(weights.to(DOT), upstream.to(DOT), input_precision="ieee")
        places, inside = t[:, None] * heads * P + p[None, :], (t < length)[:, None] & (p < P)[None, :]
        tl.store(grad_x + sequences + places, out.to(grad_x.dtype.element_ty), mask=inside)
    # The log-decay of step t is in every pair of an earlier j and a later or equal i.
    later = tl.cumsum(grad_weights * weights, axis=1, reverse=True)
    total = tl.sum(tl.where(q[:, None] < q[None, :], later, 0.0), axis=0) + grad_whole * whole
    total += tl.sum(tl.where(q[:, None] >= q[None, :], (grad_entry * entry)[:, None], 0.0), axis=0)
    total += tl.sum(tl.where(q[:, None] < q[None, :], grad_leave[:, None], 0.0), axis=0)
    tl.store(grad_log + (batch * length + t) * heads + head, total, mask=t < length)


@triton.jit
@no_type_check
def _weights_back(
    x, log_decay, B, C, run, kept, leaving, grad_y, grad_B, grad_C, length, chunks, heads, groups,
    P: tl.constexpr, N: tl.constexpr, Q: tl.constexpr, PACKED: tl.constexpr, DOT: tl.constexpr,
    BP: tl.constexpr, BN: tl.constexpr,
):  # fmt: skip
    """Gradients of B and C of one chunk, each head's own part."""
    index = tl.program_id(0).to(tl.int64)
    row, chunk = index // chunks, index % chunks
    batch, head = row // heads, row % heads
    q = tl.arange(0, Q)
    t = chunk * Q + q
    x += (batch * length * heads + head) * P
    grad_y += (batch * length * heads + head) * P
    B += (batch * length * groups + head // (heads // groups)) * N
    C += (batch * length * groups + head // (heads // groups)) * N
    g, here, entry, leave, _ = _decays(
        log_decay + batch * length * heads + head, run + batch * length, chunk, length, heads, Q, PACKED
    )
    grad_scores, grad_scores_turned = tl.zeros((Q, Q), tl.float32), tl.zeros((Q, Q), tl.float32)
    for offset in range(0, P, BP):
        p = offset + tl.arange(0, BP)
        inputs = _tile(x, t, heads * P, t < length, p, 1, p < P).to(DOT)
        inputs_turned = _tile(x, p, 1, p < P, t, heads * P, t < length).to(DOT)
        upstream = _tile(grad_y, t, heads * P, t < length, p, 1, p < P).to(DOT)
        upstream_turned = _tile(grad_y, p, 1, p < P, t, heads * P, t < length).to(DOT)
        grad_scores = tl.dot(upstream, inputs_turned, grad_scores, input_precision="ieee")
        grad_scores_turned = tl.dot(inputs, upstream_turned, grad_scores_turned, input_precision="ieee")
    grad_scores = (grad_scores * _within(g, here, Q, PACKED)).to(DOT)
    grad_scores_turned = (grad_scores_turned * _within_turned(g, here, Q, PACKED)).to(DOT)
    for start in range(0, N, BN):
        n = start + tl.arange(0, BN)
        through_C, through_B = tl.zeros((Q, BN), tl.float32), tl.zeros((Q, BN), tl.float32)
        for offset in range(0, P, BP):
            p = offset + tl.arange(0, BP)
            inputs = _tile(x, t, heads * P, t < length, p, 1, p < P).to(DOT)
            upstream = _tile(grad_y, t, heads * P, t < length, p, 1, p < P).to(DOT)
            entering = _tile(kept + index * P * N, p, N, p < P, n, 1, n < N).to(DOT)
            departing = _tile(leaving + index * P * N, p, N, p < P, n, 1, n < N).to(DOT)
            through_C = tl.dot(upstream, entering, through_C, input_precision="ieee")
            through_B = tl.dot(inputs, departing, through_B, input_precision="ieee")
        keys = _tile(B, t, groups * N, t < length, n, 1, n < N).to(DOT)
        queries = _tile(C, t, groups * N, t < length, n, 1, n < N).to(DOT)
        through_C = tl.dot(grad_scores, keys, through_C * entry[:, None], input_precision="ieee")
        through_B = tl.dot(grad_scores_turned, queries, through_B * leave[:, None], input_precision="ieee")
        places = ((batch * length + t) * heads + head)[:, None] * N + n[None, :]
        inside = (t < length)[:, None] & (n < N)[None, :]
        tl.store(grad_C + places, through_C, mask=inside)
        tl.store(grad_B + places, through_B, mask=inside)


_KEY = ("P", "N", "Q", "PACKED")  # the autotuner adds the dtypes
_CONFIGS = (
    {"BP": 32, "BN": 32, "num_warps": 4, "num_stages": 1},
    {"BP": 16, "BN": 16, "num_warps": 2, "num_stages": 1},
    {"BP": 64, "BN": 32, "num_warps": 4, "num_stages": 2},
    {"BP": 64, "BN": 64, "num_warps": 4, "num_stages": 1},
    {"BP": 64, "BN": 64, "num_warps": 8, "num_stages": 2},
)
STATES = Tuned(_states, _CONFIGS, _KEY)
OUTPUTS = Tuned(_outputs, _CONFIGS, _KEY)
STATES_BACK = Tuned(_states_back, _CONFIGS, _KEY)
INPUTS_BACK = Tuned(_inputs_back, _CONFIGS, _KEY)
WEIGHTS_BACK = Tuned(_weights_back, _CONFIGS, _KEY)


@custom_op("scalar_decay_triton")
def _forward(
    x: Tensor, log_decay: Tensor, B: Tensor, C: Tensor, state: Tensor, run: Tensor | None, size: int
) -> tuple[Tensor, Tensor, Tensor]:
    """y, the last state, and the state that enters each chunk (b h c p n)."""
    sizes = _Sizes(x, B, size, run)
    y, last, kept = torch.empty_like(x), torch.empty_like(state), sizes.states()
    packed = x if run is None else run
    STATES[sizes.by_state](x, log_decay, B, packed, state, kept, last, *sizes.numbers, **sizes.constants)
    OUTPUTS[sizes.by_output](x, log_decay, B, C, packed, kept, y, *sizes.numbers, **sizes.constants)
    return y, last, kept


@_forward.register_fake
def _(
    x: Tensor, log_decay: Tensor, B: Tensor, C: Tensor, state: Tensor, run: Tensor | None, size: int
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(x), torch.empty_like(state), _Sizes(x, B, size, run).states()


@custom_op("scalar_decay_triton_backward")
def _backward(
    x: Tensor,
    log_decay: Tensor,
    B: Tensor,
    C: Tensor,
    run: Tensor | None,
    kept: Tensor,
    grad_y: Tensor,
    grad_last: Tensor,
    size: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of x, log_decay, B, C and the initial state."""
    sizes = _Sizes(x, B, size, run)
    grad_x, grad_log, grad_state, leaving = (torch.empty_like(like) for like in (x, log_decay, grad_last, kept))
    by_head = x.new_empty(2, *x.shape[:3], B.shape[3], dtype=torch.float32)
    packed = x if run is None else run
    numbers, constants = sizes.numbers, sizes.constants
    STATES_BACK[sizes.by_state](grad_y, log_decay, C, packed, grad_last, leaving, grad_state, *numbers, **constants)
    shared = (x, log_decay, B, C, packed, kept, leaving, grad_y)
    INPUTS_BACK[sizes.by_chunk](*shared, grad_x, grad_log, *numbers, **constants)
    WEIGHTS_BACK[sizes.by_chunk](*shared, *by_head, *numbers, **constants)
    grad_B, grad_C = torch.unflatten(by_head, 3, (B.shape[2], -1)).sum(4).to(B.dtype)
    return grad_x, grad_log, grad_B.clone(), grad_C.clone(), grad_state


@_backward.register_fake
def _(
    x: Tensor,
    log_decay: Tensor,
    B: Tensor,
    C: Tensor,
    run: Tensor | None,
    kept: Tensor,
    grad_y: Tensor,
    grad_last: Tensor,
    size: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    like = torch.empty_like
    return like(x), like(log_decay), like(B), like(C), like(grad_last)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    x, log_decay, B, C, _, run, ctx.size = inputs
    ctx.save_for_backward(x, log_decay, B, C, run, output[2])
    ctx.set_materialize_grads(False)


def _differentiate(ctx: Any, grad_y: Tensor | None, grad_last: Tensor | None, _: None) -> tuple[Tensor | None, ...]:
    x, log_decay, B, C, run, kept = ctx.saved_tensors
    grad_y = torch.zeros_like(x) if grad_y is None else grad_y.contiguous()
    grad_last = torch.zeros_like(kept[:, :, 0]) if grad_last is None else grad_last
    grads = _backward(x, log_decay, B, C, run, kept, grad_y, grad_last.contiguous(), ctx.size)
    return *cast(tuple[Tensor, ...], grads), None, None


_forward.register_autograd(_differentiate, setup_context=_keep)


class _Sizes:
    """What the launches of a call share: shapes, grids and constants."""

    def __init__(self, x: Tensor, B: Tensor, size: int, run: Tensor | None) -> None:
        self.x, (batch, length, self.heads, self.width) = x, x.shape
        self.chunks, self.state = -(-length // size), B.shape[3]
        self.rows = batch * self.heads
        self.numbers = (length, self.chunks, self.heads, B.shape[2])
        # The interpreter multiplies bfloat16 as if the bits were integers.
        dot = tl.bfloat16 if x.dtype == torch.bfloat16 and not interpreting() else tl.float32
        self.constants = {"P": self.width, "N": self.state, "Q": size, "PACKED": run is not None, "DOT": dot}

    def states(self) -> Tensor:
        """Room for one state a chunk (b h c p n)."""
        return self.x.new_empty(self.x.shape[0], self.heads, self.chunks, self.width, self.state, dtype=torch.float32)

    def by_state(self, meta: Mapping[str, Any]) -> tuple[int, ...]:
        """A program for each tile of each row's state."""
        return self.rows, triton.cdiv(self.width, meta["BP"]), triton.cdiv(self.state, meta["BN"])

    def by_output(self, meta: Mapping[str, Any]) -> tuple[int, ...]:
        """A program for each chunk of each row and tile of its outputs."""
        return self.rows * self.chunks, triton.cdiv(self.width, meta["BP"])

    def by_chunk(self, meta: Mapping[str, Any]) -> tuple[int, ...]:
        """A program for each chunk of each row."""
        return (self.rows * self.chunks,)
