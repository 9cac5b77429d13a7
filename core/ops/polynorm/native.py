"""PolyNorm by the native kernel (CPU, float32)."""

import torch
from jaxtyping import Float
from torch import Tensor

from armillary.core.ops.custom import custom_op
from armillary.core.ops.library import kernel
from armillary.core.ops.pointwise import join

EPS = 1e-6
BLOCK, BLOCKS = 16, 256  # rows whose sums are one partial at least, and partials at most
SUMS = 4


def polynorm_native(
    x: Float[Tensor, "*b d"], weight: Float[Tensor, " 3"], bias: Float[Tensor, ""]
) -> Float[Tensor, "*b d"]:
    """See `polynorm`; one pass over memory forward, and one backward."""
    wide = (tensor.float().contiguous() for tensor in (x, weight, bias))
    return _forward(*wide).to(x.dtype)


@custom_op("polynorm_native")
def _forward(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    y = torch.empty_like(x)
    kernel("polynorm_forward")(x, weight, bias, y, *_shape(x), EPS)
    return y


@custom_op("polynorm_native_backward")
def _backward(grad: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    rows, width, block = _shape(x)
    partial = x.new_empty(-(-rows // block), SUMS, dtype=torch.float64)
    grads = torch.empty_like(x), torch.empty_like(weight), torch.empty_like(bias)
    kernel("polynorm_backward")(grad.contiguous(), x, weight, *grads, partial, rows, width, block, EPS)
    return grads


def _shape(x: Tensor) -> tuple[int, int, int]:
    """Rows, width, and rows of a block; blocks depend on the shape alone, so that sums do on nothing else."""
    rows = x.numel() // max(x.shape[-1], 1)
    return rows, x.shape[-1], max(BLOCK, -(-rows // BLOCKS))


join(_forward, _backward)
