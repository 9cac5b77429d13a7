"""PolyReLU by the native kernel (CPU, float32)."""

import torch
from jaxtyping import Float
from torch import Tensor

from armillary.core.ops.custom import custom_op
from armillary.core.ops.library import kernel
from armillary.core.ops.pointwise import join

BLOCK, BLOCKS = 1 << 14, 256  # elements whose sums are one partial at least, and partials at most
SUMS = 4


def polyrelu_native(
    x: Float[Tensor, "*b"], weight: Float[Tensor, " 3"], bias: Float[Tensor, ""]
) -> Float[Tensor, "*b"]:
    """See `polyrelu`; one pass over memory forward, and one backward."""
    wide = (tensor.float().contiguous() for tensor in (x, weight, bias))
    return _forward(*wide).to(x.dtype)


@custom_op("polyrelu_native")
def _forward(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    y = torch.empty_like(x)
    kernel("polyrelu_forward")(x, weight, bias, y, x.numel(), _block(x.numel()))
    return y


@custom_op("polyrelu_native_backward")
def _backward(grad: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    size, block = x.numel(), _block(x.numel())
    partial = x.new_empty(-(-size // block), SUMS, dtype=torch.float64)
    grads = torch.empty_like(x), torch.empty_like(weight), torch.empty_like(bias)
    kernel("polyrelu_backward")(grad.contiguous(), x, weight, *grads, partial, size, block)
    return grads


def _block(size: int) -> int:
    """Elements of a block; they depend on the size alone, so that sums do on nothing else."""
    return max(BLOCK, -(-size // BLOCKS))


join(_forward, _backward)
