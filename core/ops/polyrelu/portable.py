"""PolyReLU in plain torch: a stretch at a time that stays in the cache, and x alone kept for backward."""

import torch
from jaxtyping import Float
from torch import Tensor

from armillary.core.ops.custom import custom_op
from armillary.core.ops.pointwise import join, row_pieces
from armillary.core.ops.precision import accumulation_dtype


def polyrelu_portable(
    x: Float[Tensor, "*b"], weight: Float[Tensor, " 3"], bias: Float[Tensor, ""]
) -> Float[Tensor, "*b"]:
    """See `polyrelu`; in float32, or float64 if x is."""
    wide = (tensor.to(accumulation_dtype(x)).contiguous() for tensor in (x, weight, bias))
    return _forward(*wide).to(x.dtype)


@custom_op("polyrelu_portable")
def _forward(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    y = torch.empty_like(x)
    for here, out in row_pieces(x.view(-1, 1), y.view(-1, 1)):
        p = here.relu()
        torch.mul(p, weight[0], out=out).add_(weight[1])
        torch.addcmul(weight[2], out, p, out=out)
        torch.addcmul(bias, out, p, out=out)
    return y


@custom_op("polyrelu_portable_backward")
def _backward(grad: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    grad_x = torch.empty_like(x)
    partial = [torch.zeros(4, dtype=torch.float64, device=x.device)]
    for upstream, here, out in row_pieces(*(tensor.view(-1, 1) for tensor in (grad.contiguous(), x, grad_x))):
        partial.append(_backward_piece(upstream, here, out, weight))
    total = torch.stack(partial).sum(0).to(x.dtype)
    return grad_x, total[:3].clone(), total[3].clone()


def _backward_piece(grad: Tensor, x: Tensor, grad_x: Tensor, weight: Tensor) -> Tensor:
    """Writes grad_x = g (3 w_0 p² + 2 w_1 p + w_2) where x > 0; returns the gradients of weights and bias, (4)."""
    p = x.relu()
    slope = (p * (3 * weight[0])).add_(2 * weight[1])
    torch.addcmul(weight[2], slope, p, out=slope)
    # The sign of p is 1 where x > 0 and else 0; a mask would cost ten times as much.
    torch.mul(slope.mul_(p.sign()), grad, out=grad_x)
    sums = [grad.sum()]
    terms = torch.mul(grad, p, out=slope)
    sums += [terms.sum(), terms.mul_(p).sum(), terms.mul_(p).sum()]
    return torch.stack(sums[::-1]).double()


join(_forward, _backward)
