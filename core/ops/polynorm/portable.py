"""PolyNorm in plain torch: some rows at a time, few enough to stay in the cache, and x alone kept for backward."""

import torch
from jaxtyping import Float
from torch import Tensor

from armillary.core.ops.custom import custom_op
from armillary.core.ops.pointwise import join, row_pieces
from armillary.core.ops.precision import accumulation_dtype

EPS = 1e-6


def polynorm_portable(
    x: Float[Tensor, "*b d"], weight: Float[Tensor, " 3"], bias: Float[Tensor, ""]
) -> Float[Tensor, "*b d"]:
    """See `polynorm`; in float32, or float64 if x is."""
    wide = (tensor.to(accumulation_dtype(x)).contiguous() for tensor in (x, weight, bias))
    return _forward(*wide).to(x.dtype)


@custom_op("polynorm_portable")
def _forward(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    y = torch.empty_like(x)
    for here, out in row_pieces(x, y):
        c1, c2, c3 = (w * scale for w, scale in zip(weight.flip(0), _scales(here), strict=True))
        torch.mul(here, c3, out=out).add_(c2)
        torch.addcmul(c1, out, here, out=out)
        torch.addcmul(bias, out, here, out=out)
    return y


@custom_op("polynorm_portable_backward")
def _backward(grad: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    grad_x = torch.empty_like(x)
    partial = [torch.zeros(4, dtype=torch.float64, device=x.device)]
    for upstream, here, out in row_pieces(grad.contiguous(), x, grad_x):
        partial.append(_backward_piece(upstream, here, out, weight))
    total = torch.stack(partial).sum(0).to(x.dtype)
    return grad_x, total[:3].clone(), total[3].clone()


def _backward_piece(grad: Tensor, x: Tensor, grad_x: Tensor, weight: Tensor) -> Tensor:
    """Writes grad_x = g Σ_k c_k x^(k-1) - Σ_k d_k x^(2k-1), where c_k = k w s_k and d_k = c_k s_k² mean(g x^k).

    Returns the gradients of the weights and of the bias, (4).
    """
    scales = _scales(x)
    terms = grad * x
    products = [_row_sum(terms), _row_sum(terms.mul_(x)), _row_sum(terms.mul_(x))]
    c = [k * weight[3 - k] * scale for k, scale in enumerate(scales, start=1)]
    # In this order nothing underflows where the powers do not overflow: s² alone would.
    d = [ck * (s * (s * m)) / x.shape[-1] for ck, s, m in zip(c, scales, products, strict=True)]
    slope = torch.mul(x, c[2], out=terms).add_(c[1])
    torch.mul(torch.addcmul(c[0], slope, x, out=slope), grad, out=grad_x)
    square = x.square()
    taken = torch.mul(square, d[2], out=terms).add_(d[1])
    grad_x.addcmul_(torch.addcmul(d[0], taken, square, out=taken), x, value=-1)
    sums = [(scale * product).double().sum() for scale, product in zip(scales, products, strict=True)]
    return torch.stack([*reversed(sums), _row_sum(grad).double().sum()])


def _scales(x: Tensor) -> list[Tensor]:
    """1 / sqrt(mean x^2k + eps) of every row for k = 1, 2, 3."""
    square = x.square()
    fourth = square.square()
    moments = [_row_sum(square), _row_sum(fourth), _row_sum(fourth.mul_(square))]
    return [(moment / x.shape[-1] + EPS).rsqrt() for moment in moments]


def _row_sum(terms: Tensor) -> Tensor:
    return terms.sum(-1, keepdim=True)


join(_forward, _backward)
