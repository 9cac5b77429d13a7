"""Neighbourhood attention on a GPU: a tile of queries against the box of keys that they share, and the reverse.

An axis with dilation falls apart into chains of tokens that are `dilation` apart (a ring's chains go round until they
close). Within a chain the keys of a query are a run of members, and the queries of a key are one too, so both kernels
walk a box: the forward one and that of q's gradient over the keys of a tile of queries, that of the gradients of k and
v over the queries of a tile of keys. Every gradient is written by one program, with no atomic sum.

Suffixes: i lanes of the tile that a program owns, j members of the box it walks, e and f widths of keys and values.
"""

# pyright: reportMissingParameterType=false, reportUnknownParameterType=false, reportPrivateUsage=false
from collections.abc import Mapping
from math import prod
from typing import Any, cast, no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Bool, Float, Int
from torch import Tensor

from armillary.core.ops.custom import custom_op
from armillary.core.ops.tuned import Tuned, interpreting

FIELDS = tl.constexpr(5)  # of an axis in the table: extent, chains of this row, chains, longest chain, stride


def neighbourhood_attention_triton(
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
    """See `neighbourhood_attention`. Products in the dtype of the inputs, sums and exponentials in float32."""
    dtype = torch.promote_types(q.dtype, torch.promote_types(k.dtype, v.dtype))
    if interpreting() and dtype == torch.bfloat16:
        # The interpreter multiplies bfloat16 as if the bits were integers.
        dtype = torch.float32
    settings = [int(setting) for settings in (window, dilation, causal, periodic) for setting in settings]
    out, _ = cast(
        tuple[Tensor, Tensor], _forward(*(x.to(dtype) for x in (q, k, v)), bias, mask, extents, settings, scale)
    )
    return out.to(q.dtype)


@triton.jit
@no_type_check
def _axis(table, rest, AXIS: tl.constexpr, DILATION: tl.constexpr, PERIODIC: tl.constexpr, SIDE: tl.constexpr):
    """An axis' share of a program's number: what is left of it, then residue and members of the chain, first member."""
    extent = tl.load(table + AXIS * FIELDS)
    chains = tl.load(table + AXIS * FIELDS + 1)
    tiles = tl.cdiv(tl.load(table + AXIS * FIELDS + 3), SIDE)
    own = rest % (tl.load(table + AXIS * FIELDS + 2) * tiles)
    residue = own // tiles
    if PERIODIC:
        members = tl.where(residue < chains, extent // tl.maximum(chains, 1), 0)
    else:
        members = tl.maximum(extent - residue + DILATION - 1, 0) // DILATION
    rest = rest // (tl.load(table + AXIS * FIELDS + 2) * tiles)
    return rest, residue, members, own % tiles * SIDE


@triton.jit
@no_type_check
def _token(table, member, residue, AXIS: tl.constexpr, DILATION: tl.constexpr, PERIODIC: tl.constexpr):
    """A member's share of the token's index; a ring's member may lie beyond its ends."""
    token = residue + DILATION * member
    if PERIODIC:
        extent = tl.maximum(tl.load(table + AXIS * FIELDS), 1)
        token = (token % extent + extent) % extent
    return token * tl.load(table + AXIS * FIELDS + 4)


@triton.jit
@no_type_check
def _keys(member, members, WINDOW: tl.constexpr, CAUSAL: tl.constexpr, PERIODIC: tl.constexpr):
    """The run of members that a query sees: first, and the one after the last."""
    count = tl.minimum(members, WINDOW)
    if PERIODIC:
        start = member - count // 2
        end = start + count
    elif CAUSAL:
        start = tl.maximum(member - WINDOW + 1, 0)
        end = member + 1
    else:
        start = tl.maximum(tl.minimum(member - WINDOW // 2, members - WINDOW), 0)
        end = start + count
    return start, end


@triton.jit
@no_type_check
def _queries(member, members, WINDOW: tl.constexpr, CAUSAL: tl.constexpr, PERIODIC: tl.constexpr):
    """The run of members that see a key: first, and the one after the last."""
    count = tl.minimum(members, WINDOW)
    if PERIODIC:
        start = member + count // 2 - count + 1
        end = member + count // 2 + 1
    elif CAUSAL:
        start = member
        end = tl.minimum(member + WINDOW, members)
    else:
        # Shifted windows: the first keys are seen from the border on, the last ones up to it.
        start = tl.where(member < count, 0, member - WINDOW + 1 + WINDOW // 2)
        end = tl.where(member >= members - WINDOW, members, member + WINDOW // 2 + 1)
    return start, end


@triton.jit
@no_type_check
def _box(origin, members, REVERSE: tl.constexpr, WINDOW: tl.constexpr, CAUSAL: tl.constexpr, PERIODIC: tl.constexpr,
         SIDE: tl.constexpr):  # fmt: skip
    """First member and length of the run that a tile's lanes share; no length where the chain ends before the tile."""
    last = tl.minimum(origin + SIDE, members) - 1
    if REVERSE:
        first, _ = _queries(origin, members, WINDOW, CAUSAL, PERIODIC)
        _, end = _queries(last, members, WINDOW, CAUSAL, PERIODIC)
    else:
        first, _ = _keys(origin, members, WINDOW, CAUSAL, PERIODIC)
        _, end = _keys(last, members, WINDOW, CAUSAL, PERIODIC)
    return first, tl.where(origin < members, end - first, 0)


@triton.jit
@no_type_check
def _rows(pointer, base, token, heads, width, kept, column, WIDTH: tl.constexpr):
    """Rows of a head (token, column), zero where not kept."""
    row = (base + token.to(tl.int64) * heads) * width
    return tl.load(pointer + row[:, None] + column[None, :], mask=kept[:, None] & (column < WIDTH)[None, :], other=0.0)


@triton.jit
@no_type_check
def _columns(pointer, base, token, heads, width, kept, column, WIDTH: tl.constexpr):
    """Rows of a head as columns (column, token), zero where not kept."""
    row = (base + token.to(tl.int64) * heads) * width
    return tl.load(pointer + row[None, :] + column[:, None], mask=kept[None, :] & (column < WIDTH)[:, None], other=0.0)


@triton.jit
@no_type_check
def _pair(query, key, members, WINDOW: tl.constexpr, CAUSAL: tl.constexpr, PERIODIC: tl.constexpr):
    """Whether a query sees a key on one axis, and their offset in the bias."""
    start, end = _keys(query, members, WINDOW, CAUSAL, PERIODIC)
    return (key >= start) & (key < end), key - query + WINDOW - 1


@triton.jit
@no_type_check
def _tile(table, number, DILATION: tl.constexpr, PERIODIC: tl.constexpr,
          T0: tl.constexpr, T1: tl.constexpr, T2: tl.constexpr):  # fmt: skip
    """Chains and origin of a tile by its number, and the members of its lanes."""
    lane = tl.arange(0, T0 * T1 * T2)
    rest, r2, n2, o2 = _axis(table, number, 2, DILATION[2], PERIODIC[2], T2)
    rest, r1, n1, o1 = _axis(table, rest, 1, DILATION[1], PERIODIC[1], T1)
    rest, r0, n0, o0 = _axis(table, rest, 0, DILATION[0], PERIODIC[0], T0)
    m0, m1, m2 = o0 + lane // (T1 * T2), o1 + lane // T2 % T1, o2 + lane % T2
    return r0, r1, r2, n0, n1, n2, o0, o1, o2, m0, m1, m2, (m0 < n0) & (m1 < n1) & (m2 < n2)


@triton.jit
@no_type_check
def _place(table, m0, m1, m2, r0, r1, r2, DILATION: tl.constexpr, PERIODIC: tl.constexpr):
    """Index of tokens in the grid."""
    token = _token(table, m0, r0, 0, DILATION[0], PERIODIC[0]) + _token(table, m1, r1, 1, DILATION[1], PERIODIC[1])
    return token + _token(table, m2, r2, 2, DILATION[2], PERIODIC[2])


@triton.jit
@no_type_check
def _pairs(q0, q1, q2, k0, k1, k2, n0, n1, n2,
           WINDOW: tl.constexpr, CAUSAL: tl.constexpr, PERIODIC: tl.constexpr):  # fmt: skip
    """Which queries see which keys, and the index of each pair in the flat bias."""
    seen0, index0 = _pair(q0, k0, n0, WINDOW[0], CAUSAL[0], PERIODIC[0])
    seen1, index1 = _pair(q1, k1, n1, WINDOW[1], CAUSAL[1], PERIODIC[1])
    seen2, index2 = _pair(q2, k2, n2, WINDOW[2], CAUSAL[2], PERIODIC[2])
    return seen0 & seen1 & seen2, (index0 * (2 * WINDOW[1] - 1) + index1) * (2 * WINDOW[2] - 1) + index2


@triton.jit
@no_type_check
def _forward_kernel(
    q, k, v, bias, mask, table, out, logsum, scale, heads, tokens, row_fields, offsets,
    WINDOW: tl.constexpr, DILATION: tl.constexpr, CAUSAL: tl.constexpr, PERIODIC: tl.constexpr,
    E: tl.constexpr, F: tl.constexpr, PAD_E: tl.constexpr, PAD_F: tl.constexpr,
    T0: tl.constexpr, T1: tl.constexpr, T2: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """A tile of queries: weighted values, and the log of the softmax's denominator."""
    batch, head = tl.program_id(1) // heads, tl.program_id(1) % heads
    table += batch * row_fields
    base = batch.to(tl.int64) * tokens * heads + head
    e, f = tl.arange(0, PAD_E), tl.arange(0, PAD_F)
    r0, r1, r2, n0, n1, n2, o0, o1, o2, m0, m1, m2, real = _tile(
        table, tl.program_id(0), DILATION, PERIODIC, T0, T1, T2
    )
    token_i = _place(table, m0, m1, m2, r0, r1, r2, DILATION, PERIODIC)
    q_ie = _rows(q, base, token_i, heads, E, real, e, E)
    first0, u0 = _box(o0, n0, False, WINDOW[0], CAUSAL[0], PERIODIC[0], T0)
    first1, u1 = _box(o1, n1, False, WINDOW[1], CAUSAL[1], PERIODIC[1], T1)
    first2, u2 = _box(o2, n2, False, WINDOW[2], CAUSAL[2], PERIODIC[2], T2)
    highest = tl.full([T0 * T1 * T2], float("-inf"), tl.float32)
    total = tl.zeros([T0 * T1 * T2], tl.float32)
    sum_if = tl.zeros([T0 * T1 * T2, PAD_F], tl.float32)
    for at in range(0, u0 * u1 * u2, BLOCK):
        j = at + tl.arange(0, BLOCK)
        k0, k1, k2 = first0 + j // (u1 * u2), first1 + j // u2 % u1, first2 + j % u2
        token_j = _place(table, k0, k1, k2, r0, r1, r2, DILATION, PERIODIC)
        kept = j < u0 * u1 * u2
        if mask is not None:
            kept = kept & tl.load(mask + batch.to(tl.int64) * tokens + token_j, mask=kept, other=0).to(tl.int1)
        k_ej = _columns(k, base, token_j, heads, E, kept, e, E)
        v_jf = _rows(v, base, token_j, heads, F, kept, f, F)
        seen, index = _pairs(
            m0[:, None], m1[:, None], m2[:, None], k0[None, :], k1[None, :], k2[None, :], n0, n1, n2,
            WINDOW, CAUSAL, PERIODIC,
        )  # fmt: skip
        seen = seen & kept[None, :] & real[:, None]
        score = tl.dot(q_ie, k_ej, input_precision="ieee") * scale
        if bias is not None:
            score += tl.load(bias + head * offsets + index, mask=seen, other=0.0).to(tl.float32)
        score = tl.where(seen, score, float("-inf"))
        risen = tl.maximum(highest, tl.max(score, 1))
        # A query that has seen nothing yet has -inf everywhere, and -inf - -inf would be NaN.
        level = tl.where(risen == float("-inf"), 0.0, risen)
        weight = tl.exp(score - level[:, None])
        shrink = tl.exp(highest - level)
        total = total * shrink + tl.sum(weight, 1)
        sum_if = sum_if * shrink[:, None] + tl.dot(weight.to(v_jf.dtype), v_jf, input_precision="ieee")
        highest = risen
    sum_if = sum_if / tl.where(total == 0, 1.0, total)[:, None]
    row = base + token_i.to(tl.int64) * heads
    tl.store(out + row[:, None] * F + f[None, :], sum_if, mask=real[:, None] & (f < F)[None, :])
    log = tl.log(tl.where(total == 0, 1.0, total))
    tl.store(logsum + row, tl.where(total == 0, float("inf"), highest + log), mask=real)


@triton.jit
@no_type_check
def _query_kernel(
    q, k, v, bias, mask, table, up, logsum, inner, grad_q, scale, heads, tokens, row_fields, offsets,
    WINDOW: tl.constexpr, DILATION: tl.constexpr, CAUSAL: tl.constexpr, PERIODIC: tl.constexpr,
    E: tl.constexpr, F: tl.constexpr, PAD_E: tl.constexpr, PAD_F: tl.constexpr,
    T0: tl.constexpr, T1: tl.constexpr, T2: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """A tile of queries: their gradient."""
    batch, head = tl.program_id(1) // heads, tl.program_id(1) % heads
    table += batch * row_fields
    base = batch.to(tl.int64) * tokens * heads + head
    e, f = tl.arange(0, PAD_E), tl.arange(0, PAD_F)
    r0, r1, r2, n0, n1, n2, o0, o1, o2, m0, m1, m2, real = _tile(
        table, tl.program_id(0), DILATION, PERIODIC, T0, T1, T2
    )
    token_i = _place(table, m0, m1, m2, r0, r1, r2, DILATION, PERIODIC)
    row = base + token_i.to(tl.int64) * heads
    q_ie = _rows(q, base, token_i, heads, E, real, e, E)
    up_if = _rows(up, base, token_i, heads, F, real, f, F)
    logsum_i = tl.load(logsum + row, mask=real, other=float("inf"))
    inner_i = tl.load(inner + row, mask=real, other=0.0)
    first0, u0 = _box(o0, n0, False, WINDOW[0], CAUSAL[0], PERIODIC[0], T0)
    first1, u1 = _box(o1, n1, False, WINDOW[1], CAUSAL[1], PERIODIC[1], T1)
    first2, u2 = _box(o2, n2, False, WINDOW[2], CAUSAL[2], PERIODIC[2], T2)
    sum_ie = tl.zeros([T0 * T1 * T2, PAD_E], tl.float32)
    for at in range(0, u0 * u1 * u2, BLOCK):
        j = at + tl.arange(0, BLOCK)
        k0, k1, k2 = first0 + j // (u1 * u2), first1 + j // u2 % u1, first2 + j % u2
        token_j = _place(table, k0, k1, k2, r0, r1, r2, DILATION, PERIODIC)
        kept = j < u0 * u1 * u2
        if mask is not None:
            kept = kept & tl.load(mask + batch.to(tl.int64) * tokens + token_j, mask=kept, other=0).to(tl.int1)
        k_je = _rows(k, base, token_j, heads, E, kept, e, E)
        k_ej = _columns(k, base, token_j, heads, E, kept, e, E)
        v_fj = _columns(v, base, token_j, heads, F, kept, f, F)
        seen, index = _pairs(
            m0[:, None], m1[:, None], m2[:, None], k0[None, :], k1[None, :], k2[None, :], n0, n1, n2,
            WINDOW, CAUSAL, PERIODIC,
        )  # fmt: skip
        seen = seen & kept[None, :] & real[:, None]
        score = tl.dot(q_ie, k_ej, input_precision="ieee") * scale
        if bias is not None:
            score += tl.load(bias + head * offsets + index, mask=seen, other=0.0).to(tl.float32)
        weight = tl.exp(tl.where(seen, score, float("-inf")) - logsum_i[:, None])
        slope = weight * (tl.dot(up_if, v_fj, input_precision="ieee") - inner_i[:, None])
        sum_ie += tl.dot(slope.to(k_je.dtype), k_je, input_precision="ieee")
    tl.store(grad_q + row[:, None] * E + e[None, :], sum_ie * scale, mask=real[:, None] & (e < E)[None, :])


@triton.jit
@no_type_check
def _key_kernel(
    q, k, v, bias, mask, table, up, logsum, inner, grad_k, grad_v, scale, heads, tokens, row_fields, offsets,
    WINDOW: tl.constexpr, DILATION: tl.constexpr, CAUSAL: tl.constexpr, PERIODIC: tl.constexpr,
    E: tl.constexpr, F: tl.constexpr, PAD_E: tl.constexpr, PAD_F: tl.constexpr,
    T0: tl.constexpr, T1: tl.constexpr, T2: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """A tile of keys, lanes i, against the queries j that see them: gradients of keys and values."""
    batch, head = tl.program_id(1) // heads, tl.program_id(1) % heads
    table += batch * row_fields
    base = batch.to(tl.int64) * tokens * heads + head
    e, f = tl.arange(0, PAD_E), tl.arange(0, PAD_F)
    r0, r1, r2, n0, n1, n2, o0, o1, o2, m0, m1, m2, real = _tile(
        table, tl.program_id(0), DILATION, PERIODIC, T0, T1, T2
    )
    token_i = _place(table, m0, m1, m2, r0, r1, r2, DILATION, PERIODIC)
    row = base + token_i.to(tl.int64) * heads
    kept = real
    if mask is not None:
        kept = real & tl.load(mask + batch.to(tl.int64) * tokens + token_i, mask=real, other=0).to(tl.int1)
    k_ie = _rows(k, base, token_i, heads, E, kept, e, E)
    v_if = _rows(v, base, token_i, heads, F, kept, f, F)
    first0, u0 = _box(o0, n0, True, WINDOW[0], CAUSAL[0], PERIODIC[0], T0)
    first1, u1 = _box(o1, n1, True, WINDOW[1], CAUSAL[1], PERIODIC[1], T1)
    first2, u2 = _box(o2, n2, True, WINDOW[2], CAUSAL[2], PERIODIC[2], T2)
    key_sum = tl.zeros([T0 * T1 * T2, PAD_E], tl.float32)
    value_sum = tl.zeros([T0 * T1 * T2, PAD_F], tl.float32)
    for at in range(0, u0 * u1 * u2, BLOCK):
        j = at + tl.arange(0, BLOCK)
        q0, q1, q2 = first0 + j // (u1 * u2), first1 + j // u2 % u1, first2 + j % u2
        token_j = _place(table, q0, q1, q2, r0, r1, r2, DILATION, PERIODIC)
        there = j < u0 * u1 * u2
        q_je = _rows(q, base, token_j, heads, E, there, e, E)
        q_ej = _columns(q, base, token_j, heads, E, there, e, E)
        up_jf = _rows(up, base, token_j, heads, F, there, f, F)
        up_fj = _columns(up, base, token_j, heads, F, there, f, F)
        at_j = base + token_j.to(tl.int64) * heads
        logsum_j = tl.load(logsum + at_j, mask=there, other=float("inf"))
        inner_j = tl.load(inner + at_j, mask=there, other=0.0)
        seen, index = _pairs(
            q0[None, :], q1[None, :], q2[None, :], m0[:, None], m1[:, None], m2[:, None], n0, n1, n2,
            WINDOW, CAUSAL, PERIODIC,
        )  # fmt: skip
        seen = seen & there[None, :] & kept[:, None]
        score = tl.dot(k_ie, q_ej, input_precision="ieee") * scale
        if bias is not None:
            score += tl.load(bias + head * offsets + index, mask=seen, other=0.0).to(tl.float32)
        weight = tl.exp(tl.where(seen, score, float("-inf")) - logsum_j[None, :])
        slope = weight * (tl.dot(v_if, up_fj, input_precision="ieee") - inner_j[None, :])
        key_sum += tl.dot(slope.to(q_je.dtype), q_je, input_precision="ieee")
        value_sum += tl.dot(weight.to(up_jf.dtype), up_jf, input_precision="ieee")
    tl.store(grad_k + row[:, None] * E + e[None, :], key_sum * scale, mask=real[:, None] & (e < E)[None, :])
    tl.store(grad_v + row[:, None] * F + f[None, :], value_sum, mask=real[:, None] & (f < F)[None, :])


@triton.jit
@no_type_check
def _bias_kernel(
    q, k, v, bias, mask, table, up, logsum, inner, grad_bias, tiles, scale, heads, tokens, row_fields, offsets,
    WINDOW: tl.constexpr, DILATION: tl.constexpr, CAUSAL: tl.constexpr, PERIODIC: tl.constexpr,
    E: tl.constexpr, F: tl.constexpr, PAD_E: tl.constexpr, PAD_F: tl.constexpr,
    T0: tl.constexpr, T1: tl.constexpr, T2: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """A block of offsets o of one head and row of the batch: sums over all queries that see a key there."""
    batch, head = tl.program_id(1) // heads, tl.program_id(1) % heads
    table += batch * row_fields
    base = batch.to(tl.int64) * tokens * heads + head
    e, f = tl.arange(0, PAD_E), tl.arange(0, PAD_F)
    offset = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    d2 = offset % (2 * WINDOW[2] - 1) - WINDOW[2] + 1
    d1 = offset // (2 * WINDOW[2] - 1) % (2 * WINDOW[1] - 1) - WINDOW[1] + 1
    d0 = offset // ((2 * WINDOW[2] - 1) * (2 * WINDOW[1] - 1)) - WINDOW[0] + 1
    own = tl.load(bias + head * offsets + offset, mask=offset < offsets, other=0.0).to(tl.float32)
    total = tl.zeros([BLOCK], tl.float32)
    for number in range(tiles):
        r0, r1, r2, n0, n1, n2, _o0, _o1, _o2, m0, m1, m2, real = _tile(table, number, DILATION, PERIODIC, T0, T1, T2)
        q0, q1, q2 = m0[:, None], m1[:, None], m2[:, None]
        k0, k1, k2 = q0 + d0[None, :], q1 + d1[None, :], q2 + d2[None, :]
        token_i = _place(table, m0, m1, m2, r0, r1, r2, DILATION, PERIODIC)
        token_io = _place(table, k0, k1, k2, r0, r1, r2, DILATION, PERIODIC)
        seen, _ = _pairs(q0, q1, q2, k0, k1, k2, n0, n1, n2, WINDOW, CAUSAL, PERIODIC)
        seen = seen & real[:, None] & (offset < offsets)[None, :]
        if mask is not None:
            seen = seen & tl.load(mask + batch.to(tl.int64) * tokens + token_io, mask=seen, other=0).to(tl.int1)
        row_i, row_io = base + token_i.to(tl.int64) * heads, base + token_io.to(tl.int64) * heads
        q_ie = _rows(q, base, token_i, heads, E, real, e, E).to(tl.float32)
        up_if = _rows(up, base, token_i, heads, F, real, f, F).to(tl.float32)
        in_e, in_f = seen[:, :, None] & (e < E)[None, None, :], seen[:, :, None] & (f < F)[None, None, :]
        k_ioe = tl.load(k + row_io[:, :, None] * E + e[None, None, :], mask=in_e, other=0.0).to(tl.float32)
        v_iof = tl.load(v + row_io[:, :, None] * F + f[None, None, :], mask=in_f, other=0.0).to(tl.float32)
        logsum_i = tl.load(logsum + row_i, mask=real, other=float("inf"))
        inner_i = tl.load(inner + row_i, mask=real, other=0.0)
        score = tl.sum(q_ie[:, None, :] * k_ioe, 2) * scale + own[None, :]
        weight = tl.exp(tl.where(seen, score, float("-inf")) - logsum_i[:, None])
        total += tl.sum(weight * (tl.sum(up_if[:, None, :] * v_iof, 2) - inner_i[:, None]), 0)
    tl.store(grad_bias + tl.program_id(1) * offsets + offset, total, mask=offset < offsets)


def _configs(rank: int) -> list[dict[str, int]]:
    """Tiles of 16 to 128 lanes, about as wide along every axis of the grid."""
    sides = {
        1: ((32, 1, 1), (64, 1, 1), (128, 1, 1)),
        2: ((4, 8, 1), (8, 8, 1), (8, 16, 1)),
        3: ((2, 4, 4), (4, 4, 4), (4, 4, 8)),
    }[rank]
    return [
        {"T0": x, "T1": y, "T2": z, "BLOCK": block, "num_warps": warps, "num_stages": 2}
        for (x, y, z), block, warps in zip(sides, (32, 64, 64), (2, 4, 4), strict=True)
    ]


_KEY = ("tokens", "WINDOW", "DILATION", "E")
RANKS = (1, 2, 3)
FORWARD = {rank: Tuned(_forward_kernel, _configs(rank), _KEY) for rank in RANKS}
QUERY_GRADIENT = {rank: Tuned(_query_kernel, _configs(rank), _KEY) for rank in RANKS}
KEY_GRADIENT = {rank: Tuned(_key_kernel, _configs(rank), _KEY) for rank in RANKS}
BIAS_GRADIENT = {
    rank: Tuned(_bias_kernel, [{"T0": x, "T1": y, "T2": z, "BLOCK": 16, "num_warps": 4}])
    for rank, (x, y, z) in {1: (16, 1, 1), 2: (4, 4, 1), 3: (2, 2, 4)}.items()
}


class _Problem:
    """What the kernels are told, beside tensors that each has for itself."""

    def __init__(self, q: Tensor, v: Tensor, extents: Tensor | None, settings: list[int]) -> None:
        grid, rank = q.shape[1:-2], q.ndim - 3
        self.rank, self.rows = rank, q.shape[0] * q.shape[-2]
        # A grid of lower rank is one token thick along the others.
        missing = 3 - rank
        window, dilation, causal, periodic = (settings[i * rank : (i + 1) * rank] for i in range(4))
        self.window, self.dilation = (*window, *(1,) * missing), (*dilation, *(1,) * missing)
        self.causal, self.periodic = ((*map(bool, kind), *(False,) * missing) for kind in (causal, periodic))
        self.extents = (*grid, *(1,) * missing)
        sizes = torch.tensor([grid]) if extents is None else extents
        self.ragged = extents is not None
        self.table = self._table(torch.nn.functional.pad(sizes.to(q.device), (0, missing), value=1))
        self.offsets = prod(2 * K - 1 for K in self.window)
        self.shape = (
            *(q.shape[-2], prod(grid), self.table.stride(0) if self.ragged else 0, self.offsets),
            *(self.window, self.dilation, self.causal, self.periodic, q.shape[-1], v.shape[-1]),
            *(max(16, triton.next_power_of_2(width)) for width in (q.shape[-1], v.shape[-1])),
        )

    def tiles(self, sides: tuple[int, ...]) -> int:
        """Programs that cover the grid, with those that shorter rows leave without work."""
        axes = zip(self._chains(), self._longest(), sides, strict=True)
        return prod(chains * triton.cdiv(longest, side) for chains, longest, side in axes)

    def grid(self, config: Mapping[str, Any]) -> tuple[int, int]:
        return self.tiles((config["T0"], config["T1"], config["T2"])), self.rows

    def _chains(self) -> list[int]:
        return [min(step, extent) for step, extent in zip(self.dilation, self.extents, strict=True)]

    def _longest(self) -> list[int]:
        axes = zip(self.extents, self.dilation, self.periodic, strict=True)
        # A ring whose extent the dilation does not divide has fewer chains, and longer ones.
        return [
            extent if ring and (self.ragged or extent % step) else -(-extent // step) for extent, step, ring in axes
        ]

    def _table(self, sizes: Tensor) -> Tensor:
        """(b, 3, FIELDS), without asking the device for a number."""
        extents = torch.tensor(self.extents, device=sizes.device)
        sizes = torch.minimum(sizes.long(), extents).clamp(min=0)
        dilation = torch.tensor(self.dilation, device=sizes.device).expand_as(sizes)
        ring = torch.tensor(self.periodic, device=sizes.device)
        chains = torch.where(ring, torch.gcd(sizes, dilation), dilation)
        stride = [self.extents[1] * self.extents[2], self.extents[2], 1]
        fixed = torch.tensor([self._chains(), self._longest(), stride], device=sizes.device).T.expand(*sizes.shape, 3)
        return torch.cat([torch.stack([sizes, chains], -1), fixed], -1).int().contiguous()


@custom_op("neighbourhood_triton")
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
    problem = _Problem(q, v, extents, settings)
    fresh = torch.empty_like if extents is None else torch.zeros_like
    q, k, v, bias, mask = _contiguous(q, k, v, bias, mask)
    out, logsum = fresh(v), fresh(v[..., 0], dtype=torch.float32).contiguous()
    arguments = (q, k, v, bias, mask, problem.table, out, logsum, scale, *problem.shape)
    FORWARD[problem.rank][problem.grid](*arguments)
    return out, logsum


@custom_op("neighbourhood_triton_backward")
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
    problem = _Problem(q, v, extents, settings)
    fresh = torch.empty_like if extents is None else torch.zeros_like
    q, k, v, bias, mask, grad, logsum = _contiguous(q, k, v, bias, mask, grad, logsum)
    inner = (grad.float() * out).sum(-1)
    grad_q, grad_k, grad_v = fresh(q), fresh(k), fresh(v)
    given = (q, k, v, bias, mask, problem.table, grad, logsum, inner)
    QUERY_GRADIENT[problem.rank][problem.grid](*given, grad_q, scale, *problem.shape)
    KEY_GRADIENT[problem.rank][problem.grid](*given, grad_k, grad_v, scale, *problem.shape)
    if bias is None:
        return grad_q, grad_k, grad_v, q.new_empty(0)
    parts = torch.empty(q.shape[0], *bias.shape, device=q.device)
    kernel = BIAS_GRADIENT[problem.rank]
    tiles, blocks = problem.grid(kernel.configs[0])[0], triton.cdiv(problem.offsets, kernel.configs[0]["BLOCK"])
    kernel[blocks, problem.rows](*given, parts, tiles, scale, *problem.shape)
    return grad_q, grad_k, grad_v, parts.sum(0).to(bias.dtype)


@_forward.register_fake
def _(q: Tensor, k: Tensor, v: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return v.new_empty(v.shape), v.new_empty(v.shape[:-1], dtype=torch.float32)


@_backward.register_fake
def _(grad: Tensor, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, *_: Any) -> tuple[Tensor, ...]:
    grad_bias = q.new_empty(0) if bias is None else bias.new_empty(bias.shape)
    return q.new_empty(q.shape), k.new_empty(k.shape), v.new_empty(v.shape), grad_bias


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, ctx.settings, ctx.scale = inputs
    ctx.save_for_backward(*tensors, *output)


def _differentiate(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    saved = ctx.saved_tensors  # once: a checkpointed block unpacks them a single time
    bias = saved[3]
    *gradients, grad_bias = _backward(grad, *saved, ctx.settings, ctx.scale)
    return *gradients, None if bias is None else grad_bias, None, None, None, None


_forward.register_autograd(_differentiate, setup_context=_keep)


def _contiguous(*tensors: Tensor | None) -> list[Any]:
    return [tensor if tensor is None else tensor.contiguous() for tensor in tensors]
