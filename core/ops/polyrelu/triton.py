"""PolyReLU on a GPU: a program takes a stretch of memory.

A program of the backward pass writes the sums of its stretch, and a second pass adds them, so nothing is summed
atomically. Everything is computed in float32.
"""

# pyright: reportMissingParameterType=false, reportUnknownParameterType=false, reportPrivateUsage=false
from typing import Any, no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from armillary.core.ops.custom import custom_op
from armillary.core.ops.pointwise import join
from armillary.core.ops.tuned import Tuned

SUMS = tl.constexpr(4)
STRETCH = 4096  # numbers of a program in the backward pass: its sums lie in memory by program, so they have one size


def polyrelu_triton(
    x: Float[Tensor, "*b"], weight: Float[Tensor, " 3"], bias: Float[Tensor, ""]
) -> Float[Tensor, "*b"]:
    """See `polyrelu`; x is read and y written in the dtype of x."""
    return _forward(x.contiguous(), weight.float().contiguous(), bias.float())


@triton.jit
@no_type_check
def _place(size, BLOCK: tl.constexpr):
    """The places of this program's numbers in memory, and which of them exist."""
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    return place, place < size


@triton.jit
@no_type_check
def _positive(value):
    # A comparison with NaN is false, so NaN passes.
    return tl.where(value < 0, 0.0, value)


@triton.jit
@no_type_check
def _forward_kernel(x, weight, bias, y, size, BLOCK: tl.constexpr):
    place, real = _place(size, BLOCK)
    p = _positive(tl.load(x + place, mask=real, other=0.0).to(tl.float32))
    out = ((tl.load(weight) * p + tl.load(weight + 1)) * p + tl.load(weight + 2)) * p + tl.load(bias)
    tl.store(y + place, out.to(y.dtype.element_ty), mask=real)


@triton.jit
@no_type_check
def _backward_kernel(grad, x, weight, grad_x, partial, size, BLOCK: tl.constexpr):
    place, real = _place(size, BLOCK)
    value = tl.load(x + place, mask=real, other=0.0).to(tl.float32)
    upstream = tl.load(grad + place, mask=real, other=0.0).to(tl.float32)
    p = _positive(value)
    slope = (3 * tl.load(weight) * p + 2 * tl.load(weight + 1)) * p + tl.load(weight + 2)
    out = upstream * tl.where(value <= 0, 0.0, slope)
    tl.store(grad_x + place, out.to(grad_x.dtype.element_ty), mask=real)
    own = partial + tl.program_id(0).to(tl.int64) * SUMS
    tl.store(own + 3, tl.sum(upstream))
    for k in tl.static_range(2, -1, -1):
        upstream = upstream * p
        tl.store(own + k, tl.sum(upstream))


FORWARD = Tuned(
    _forward_kernel,
    [{"BLOCK": 1024, "num_warps": 4}, {"BLOCK": 2048, "num_warps": 4}, {"BLOCK": 4096, "num_warps": 8}],
    key=("size",),
)
BACKWARD = Tuned(_backward_kernel, [{"num_warps": warps} for warps in (4, 8, 16)], key=("size",))


@custom_op("polyrelu_triton")
def _forward(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    y = torch.empty_like(x)

    def grid(config: Any) -> tuple[int]:
        return (triton.cdiv(x.numel(), config["BLOCK"]),)

    if x.numel():
        FORWARD[grid](x, weight, bias, y, x.numel())
    return y


@custom_op("polyrelu_triton_backward")
def _backward(grad: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    grad_x = torch.empty_like(x)
    programs = triton.cdiv(x.numel(), STRETCH)
    partial = x.new_empty(programs, SUMS.value, dtype=torch.float32)
    if programs:
        BACKWARD[programs,](grad.contiguous(), x, weight, grad_x, partial, x.numel(), BLOCK=STRETCH)
    total = partial.sum(0, dtype=torch.float64).float()
    return grad_x, total[:3].clone(), total[3].clone()


join(_forward, _backward)
