"""The group rational activation on a GPU: a program takes some rows of some channels of one group.

The coefficients of its group are then plain numbers. A program of the backward pass writes the sums of its tile, and
a second pass adds the tiles, so nothing is summed atomically. Everything is computed in float32.
"""

# pyright: reportMissingParameterType=false, reportUnknownParameterType=false, reportPrivateUsage=false
from typing import Any, Literal, no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from armillary.core.ops.custom import custom_op
from armillary.core.ops.pointwise import join
from armillary.core.ops.tuned import Tuned

COLUMNS = 128  # channels of a tile at most
TILE = 2048  # numbers of a tile in the backward pass: its sums lie in memory by tile, so they have one size
SUMS = 10


def rational_triton(
    x: Float[Tensor, "*b d"],
    numerator: Float[Tensor, "n 6"],
    denominator: Float[Tensor, "g 4"],
    form: Literal["A", "B"] = "A",
) -> Float[Tensor, "*b d"]:
    """See `rational`; x is read and y written in the dtype of x."""
    coefficients = (tensor.float().contiguous() for tensor in (numerator, denominator))
    return _forward(x.contiguous(), *coefficients, form == "B")


@triton.jit
@no_type_check
def _place(rows, groups, share, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Of this program: its group, the places of its tile in memory, and which of them exist."""
    strips = tl.cdiv(share, COLUMNS)
    own = tl.program_id(1)
    group = own // strips
    column = own % strips * COLUMNS + tl.arange(0, COLUMNS)
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    place = row.to(tl.int64)[:, None] * (groups * share) + group * share + column[None, :]
    return group, place, (row < rows)[:, None] & (column < share)[None, :]


@triton.jit
@no_type_check
def _sign(v):
    return tl.where(v > 0, 1.0, tl.where(v < 0, -1.0, 0.0))


@triton.jit
@no_type_check
def _above(numerator, x):
    """P and its derivative; `numerator` points at a_0 of the group."""
    p = tl.load(numerator + 5) + tl.zeros_like(x)
    dp = tl.zeros_like(x)
    for i in tl.static_range(4, -1, -1):
        dp = dp * x + p
        p = p * x + tl.load(numerator + i)
    return p, dp


@triton.jit
@no_type_check
def _below(denominator, x, FORM_B: tl.constexpr):
    """Q, its derivative, and the sign of what the absolute value was taken of; `denominator` points at b_1."""
    u = x if FORM_B else tl.abs(x)
    s = tl.zeros_like(x)
    ds = tl.zeros_like(x)
    for j in tl.static_range(3, -1, -1):
        b = tl.load(denominator + j)
        ds = ds * u + s
        s = s * u + (b if FORM_B else tl.abs(b))
    ds = ds * u + s
    s = s * u
    sign = _sign(s) if FORM_B else _sign(x)
    return 1.0 + (tl.abs(s) if FORM_B else s), ds * sign, sign


@triton.jit
@no_type_check
def _forward_kernel(
    x, numerator, denominator, y, rows, groups, share, numerator_stride,
    FORM_B: tl.constexpr, COLUMNS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    group, place, real = _place(rows, groups, share, BLOCK // COLUMNS, COLUMNS)
    value = tl.load(x + place, mask=real, other=0.0).to(tl.float32)
    p, _ = _above(numerator + group * numerator_stride, value)
    q, _, _ = _below(denominator + group * 4, value, FORM_B)
    tl.store(y + place, (p / q).to(y.dtype.element_ty), mask=real)


@triton.jit
@no_type_check
def _backward_kernel(
    grad, x, numerator, denominator, grad_x, partial, rows, groups, share, numerator_stride,
    FORM_B: tl.constexpr, COLUMNS: tl.constexpr, BLOCK: tl.constexpr, SUMS: tl.constexpr,
):  # fmt: skip
    group, place, real = _place(rows, groups, share, BLOCK // COLUMNS, COLUMNS)
    value = tl.load(x + place, mask=real, other=0.0).to(tl.float32)
    upstream = tl.load(grad + place, mask=real, other=0.0).to(tl.float32)
    p, dp = _above(numerator + group * numerator_stride, value)
    q, dq, sign = _below(denominator + group * 4, value, FORM_B)
    inverse = 1.0 / q
    r = p * inverse
    w = upstream * inverse
    tl.store(grad_x + place, (w * (dp - r * dq)).to(grad_x.dtype.element_ty), mask=real)
    own = partial + (tl.program_id(0) * tl.num_programs(1) + tl.program_id(1)).to(tl.int64) * SUMS
    v = -w * r
    if FORM_B:
        v = v * sign
    for i in tl.static_range(6):
        tl.store(own + i, tl.sum(w))
        w = w * value
    base = value if FORM_B else tl.abs(value)
    for j in tl.static_range(4):
        v = v * base
        tl.store(own + 6 + j, tl.sum(v))


FORWARD = Tuned(
    _forward_kernel,
    [
        {"BLOCK": 1024, "num_warps": 4},
        {"BLOCK": 2048, "num_warps": 4},
        {"BLOCK": 4096, "num_warps": 8},
        {"BLOCK": 8192, "num_warps": 8},
    ],
    key=("rows", "groups", "share"),
)
BACKWARD = Tuned(_backward_kernel, [{"num_warps": warps} for warps in (4, 8, 2)], key=("rows", "groups", "share"))


@custom_op("rational_triton")
def _forward(x: Tensor, numerator: Tensor, denominator: Tensor, form_b: bool) -> Tensor:
    y = torch.empty_like(x)
    rows, groups, share, columns = _shape(x, denominator)

    def grid(config: Any) -> tuple[int, int]:
        return triton.cdiv(rows, config["BLOCK"] // columns), groups * triton.cdiv(share, columns)

    if x.numel():
        stride = _stride(numerator)
        FORWARD[grid](
            x, numerator, denominator, y, rows, groups, share, stride, FORM_B=form_b, COLUMNS=columns
        )  # fmt: skip
    return y


@custom_op("rational_triton_backward")
def _backward(
    grad: Tensor, x: Tensor, numerator: Tensor, denominator: Tensor, form_b: bool
) -> tuple[Tensor, Tensor, Tensor]:
    grad_x = torch.empty_like(x)
    rows, groups, share, columns = _shape(x, denominator)
    strips = triton.cdiv(share, columns)
    tiles = triton.cdiv(rows, TILE // columns)
    partial = x.new_empty(tiles, groups, strips, SUMS, dtype=torch.float32)
    if x.numel():
        BACKWARD[tiles, groups * strips](
            grad.contiguous(), x, numerator, denominator, grad_x, partial, rows, groups, share, _stride(numerator),
            FORM_B=form_b, COLUMNS=columns, BLOCK=TILE, SUMS=SUMS,
        )  # fmt: skip
    total = partial.sum((0, 2), dtype=torch.float64)
    below = total[:, 6:] if form_b else total[:, 6:] * denominator.sign()
    above = total[:, :6] if numerator.shape[0] > 1 else total[:, :6].sum(0, keepdim=True)
    return grad_x, above.float(), below.float()


def _shape(x: Tensor, denominator: Tensor) -> tuple[int, int, int, int]:
    """Rows, groups, channels of a group, and of a tile."""
    groups = denominator.shape[0]
    share = x.shape[-1] // groups
    return x.numel() // max(x.shape[-1], 1), groups, share, min(COLUMNS, triton.next_power_of_2(max(share, 1)))


def _stride(numerator: Tensor) -> int:
    """Steps between the numerators of neighbouring groups: none where they share one."""
    return numerator.shape[1] if numerator.shape[0] > 1 else 0


join(_forward, _backward)
