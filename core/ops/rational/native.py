"""The group rational activation by the native kernel (CPU, float32)."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from armillary.core.ops.custom import custom_op
from armillary.core.ops.library import kernel
from armillary.core.ops.pointwise import join

BLOCK, BLOCKS = 64, 256  # rows whose sums are one partial at least, and partials at most
COEFFICIENTS = 10


def rational_native(
    x: Float[Tensor, "*b d"],
    numerator: Float[Tensor, "n 6"],
    denominator: Float[Tensor, "g 4"],
    form: Literal["A", "B"] = "A",
) -> Float[Tensor, "*b d"]:
    """See `rational`; one pass over memory forward, and one backward."""
    wide = (tensor.float().contiguous() for tensor in (x, numerator, denominator))
    return _forward(*wide, form == "B").to(x.dtype)


@custom_op("rational_native")
def _forward(x: Tensor, numerator: Tensor, denominator: Tensor, form_b: bool) -> Tensor:
    y = torch.empty_like(x)
    kernel("rational_forward")(x, numerator, denominator, y, *_shape(x, numerator, denominator), form_b)
    return y


@custom_op("rational_native_backward")
def _backward(
    grad: Tensor, x: Tensor, numerator: Tensor, denominator: Tensor, form_b: bool
) -> tuple[Tensor, Tensor, Tensor]:
    shape = _shape(x, numerator, denominator)
    rows, groups, *_, block = shape
    partial = x.new_empty(-(-rows // block), groups, COEFFICIENTS, dtype=torch.float64)
    grads = torch.empty_like(x), torch.empty_like(numerator), torch.empty_like(denominator)
    kernel("rational_backward")(grad.contiguous(), x, numerator, denominator, *grads, partial, *shape, form_b)
    return grads


def _shape(x: Tensor, numerator: Tensor, denominator: Tensor) -> tuple[int, int, int, int, int]:
    """Rows, groups, channels of a group, steps between numerators, and rows of a block.

    Blocks depend on the shape alone, so that sums are the same for any number of threads.
    """
    groups = denominator.shape[0]
    rows = x.numel() // max(x.shape[-1], 1)
    stride = numerator.shape[1] if numerator.shape[0] > 1 else 0
    return rows, groups, x.shape[-1] // groups, stride, max(BLOCK, -(-rows // BLOCKS))


join(_forward, _backward)
