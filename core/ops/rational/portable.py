"""The group rational activation in plain torch: row after row of a piece that stays in the cache, all in place.

Left to autograd, every step of Horner's scheme would be a pass over memory and be kept for backward.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from armillary.core.ops.custom import custom_op
from armillary.core.ops.pointwise import join, row_pieces
from armillary.core.ops.precision import accumulation_dtype


def rational_portable(
    x: Float[Tensor, "*b d"],
    numerator: Float[Tensor, "n 6"],
    denominator: Float[Tensor, "g 4"],
    form: Literal["A", "B"] = "A",
) -> Float[Tensor, "*b d"]:
    """See `rational`; in float32, or float64 if x is."""
    dtype = accumulation_dtype(x)
    wide = (tensor.to(dtype).contiguous() for tensor in (x, numerator, denominator))
    return _forward(*wide, form == "B").to(x.dtype)


@custom_op("rational_portable")
def _forward(x: Tensor, numerator: Tensor, denominator: Tensor, form_b: bool) -> Tensor:
    y = torch.empty_like(x)
    top, bottom = _coefficients(x, numerator, denominator, form_b)
    for here, out in row_pieces(x, y):
        _polynomial(top, here, out)
        below = _polynomial(bottom, here if form_b else here.abs(), torch.empty_like(here))
        out /= below.abs_().add_(1) if form_b else below
    return y


@custom_op("rational_portable_backward")
def _backward(
    grad: Tensor, x: Tensor, numerator: Tensor, denominator: Tensor, form_b: bool
) -> tuple[Tensor, Tensor, Tensor]:
    grad_x, groups = torch.empty_like(x), denominator.shape[0]
    top, bottom = _coefficients(x, numerator, denominator, form_b)
    partial = [torch.zeros(10, groups, dtype=torch.float64, device=x.device)]
    for upstream, here, out in row_pieces(grad.contiguous(), x, grad_x):
        partial.append(_backward_piece(upstream, here, out, top, bottom, groups, form_b))
    total = torch.stack(partial).sum(0).t()
    below = total[:, 6:] if form_b else total[:, 6:] * denominator.sign()
    above = total[:, :6] if numerator.shape[0] > 1 else total[:, :6].sum(0, keepdim=True)
    # Copies, since both are views of one tensor, and contiguous, as their shapes are told for tracing.
    above, below = (part.to(x.dtype, copy=True, memory_format=torch.contiguous_format) for part in (above, below))
    return grad_x, above, below


def _backward_piece(
    grad: Tensor, x: Tensor, grad_x: Tensor, top: Tensor, bottom: Tensor, groups: int, form_b: bool
) -> Tensor:
    """Writes grad_x = w (P' - r Q') with w = grad / Q; returns the sums of w x^i and of -w r |x|^j, (10, groups).

    In form B the latter are sums of -w r sign(S) x^j.
    """
    p, dp = _with_slope(top, x)
    base = x if form_b else x.abs()
    q, dq = _with_slope(bottom, base)
    sign = (q if form_b else x).sign()
    dq *= sign
    q = q.abs_().add_(1) if form_b else q
    r = p.div_(q)
    w = torch.div(grad, q, out=q)
    torch.mul(w, dp.addcmul_(r, dq, value=-1), out=grad_x)
    v = r.mul_(w).neg_()
    v = v.mul_(sign) if form_b else v
    sums = [_by_group(w, groups)] + [_by_group(w.mul_(x), groups) for _ in range(5)]
    return torch.stack(sums + [_by_group(v.mul_(base), groups) for _ in range(4)])


def _by_group(terms: Tensor, groups: int) -> Tensor:
    return terms.unflatten(1, (groups, -1)).sum((0, 2)).double()


def _coefficients(x: Tensor, numerator: Tensor, denominator: Tensor, form_b: bool) -> tuple[Tensor, Tensor]:
    """Coefficients of every channel, by rising power: (6, d) and (5, d); the latter start with the 1 of form A."""
    groups = denominator.shape[0]
    share = x.shape[-1] // groups
    start = denominator.new_full((groups, 1), 0.0 if form_b else 1.0)
    bottom = torch.cat([start, denominator if form_b else denominator.abs()], 1)
    top, bottom = (rows.repeat_interleave(share, 0).t().contiguous() for rows in (numerator.expand(groups, 6), bottom))
    return top, bottom


def _polynomial(coefficients: Tensor, x: Tensor, out: Tensor) -> Tensor:
    """Σ_i c_i x^i by Horner's scheme, into `out`."""
    *lower, second, first = coefficients.unbind()
    torch.addcmul(second, x, first, out=out)
    for c in reversed(lower):
        torch.addcmul(c, out, x, out=out)
    return out


def _with_slope(coefficients: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """A polynomial and its derivative: Horner's scheme differentiated step by step."""
    constant, *lower, second, first = coefficients.unbind()
    value = torch.addcmul(second, x, first)
    slope = torch.addcmul(value, x, first)
    for c in reversed(lower):
        torch.addcmul(c, value, x, out=value)
        torch.addcmul(value, slope, x, out=slope)
    return torch.addcmul(constant, value, x, out=value), slope


join(_forward, _backward)
