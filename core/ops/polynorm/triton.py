"""PolyNorm on a GPU: a program holds whole rows in registers, so memory is read once and written once.

A program of the backward pass writes the sums of its rows, and a second pass adds the programs' sums, so nothing is
summed atomically. Everything is computed in float32.
"""

# pyright: reportMissingParameterType=false, reportUnknownParameterType=false, reportPrivateUsage=false
from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from armillary.core.ops.custom import custom_op
from armillary.core.ops.pointwise import join
from armillary.core.ops.tuned import Tuned

EPS = tl.constexpr(1e-6)
SUMS = tl.constexpr(4)
TILE = 2048  # numbers of a program, where a row is shorter


def polynorm_triton(
    x: Float[Tensor, "*b d"], weight: Float[Tensor, " 3"], bias: Float[Tensor, ""]
) -> Float[Tensor, "*b d"]:
    """See `polynorm`; x is read and y written in the dtype of x."""
    return _forward(x.contiguous(), weight.float().contiguous(), bias.float())


@triton.jit
@no_type_check
def _place(rows, width, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    """The places of this program's rows in memory, and which of them exist."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, BLOCK)
    place = row.to(tl.int64)[:, None] * width + column[None, :]
    return place, (row < rows)[:, None] & (column < width)[None, :]


@triton.jit
@no_type_check
def _scale(power, width):
    """1 / sqrt(mean of squares + eps) of every row."""
    return 1.0 / tl.sqrt(tl.sum(power * power, axis=1) / width + EPS)


@triton.jit
@no_type_check
def _forward_kernel(x, weight, bias, y, rows, width, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    place, real = _place(rows, width, ROWS, BLOCK)
    value = tl.load(x + place, mask=real, other=0.0).to(tl.float32)
    square = value * value
    c1 = tl.load(weight + 2) * _scale(value, width)
    c2 = tl.load(weight + 1) * _scale(square, width)
    c3 = tl.load(weight) * _scale(square * value, width)
    out = ((c3[:, None] * value + c2[:, None]) * value + c1[:, None]) * value + tl.load(bias)
    tl.store(y + place, out.to(y.dtype.element_ty), mask=real)


@triton.jit
@no_type_check
def _backward_kernel(grad, x, weight, grad_x, partial, rows, width, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    """grad_x = g Σ_k c_k x^(k-1) - Σ_k d_k x^(2k-1), where c_k = k w s_k and d_k = c_k s_k² mean(g x^k)."""
    place, real = _place(rows, width, ROWS, BLOCK)
    value = tl.load(x + place, mask=real, other=0.0).to(tl.float32)
    upstream = tl.load(grad + place, mask=real, other=0.0).to(tl.float32)
    square = value * value
    s1 = _scale(value, width)
    s2 = _scale(square, width)
    s3 = _scale(square * value, width)
    m1 = tl.sum(upstream * value, axis=1)
    m2 = tl.sum(upstream * square, axis=1)
    m3 = tl.sum(upstream * value * square, axis=1)
    own = partial + tl.program_id(0) * SUMS
    tl.store(own, tl.sum(s3 * m3))
    tl.store(own + 1, tl.sum(s2 * m2))
    tl.store(own + 2, tl.sum(s1 * m1))
    tl.store(own + 3, tl.sum(upstream))
    c1 = tl.load(weight + 2) * s1
    c2 = tl.load(weight + 1) * s2 * 2
    c3 = tl.load(weight) * s3 * 3
    # In this order nothing underflows where the powers do not overflow: s² alone would.
    d1 = c1 * (s1 * (s1 * m1)) / width
    d2 = c2 * (s2 * (s2 * m2)) / width
    d3 = c3 * (s3 * (s3 * m3)) / width
    slope = (c3[:, None] * value + c2[:, None]) * value + c1[:, None]
    taken = (d3[:, None] * square + d2[:, None]) * square + d1[:, None]
    tl.store(grad_x + place, (upstream * slope - value * taken).to(grad_x.dtype.element_ty), mask=real)


CONFIGS = [{"num_warps": warps} for warps in (4, 8, 16, 2)]
FORWARD = Tuned(_forward_kernel, CONFIGS, key=("rows", "width"))
BACKWARD = Tuned(_backward_kernel, CONFIGS, key=("rows", "width"))


@custom_op("polynorm_triton")
def _forward(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    y = torch.empty_like(x)
    rows, width, height, block = _shape(x)
    if x.numel():
        FORWARD[triton.cdiv(rows, height),](x, weight, bias, y, rows, width, ROWS=height, BLOCK=block)
    return y


@custom_op("polynorm_triton_backward")
def _backward(grad: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    grad_x = torch.empty_like(x)
    rows, width, height, block = _shape(x)
    programs = triton.cdiv(rows, height)
    partial = x.new_empty(programs, SUMS.value, dtype=torch.float32)
    if x.numel():
        BACKWARD[programs,](
            grad.contiguous(), x, weight, grad_x, partial, rows, width, ROWS=height, BLOCK=block
        )  # fmt: skip
    total = partial.sum(0, dtype=torch.float64).float()
    return grad_x, total[:3].clone(), total[3].clone()


def _shape(x: Tensor) -> tuple[int, int, int, int]:
    """Rows, width, and rows and columns of a program's tile."""
    width = max(x.shape[-1], 1)
    block = triton.next_power_of_2(width)
    return x.numel() // width, width, max(1, TILE // block), block


join(_forward, _backward)
