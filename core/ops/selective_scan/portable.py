"""The selective scan in plain torch: blocks of time steps, each step one fused multiply-add.

Axis letters: t steps of a chunk, b batch, g groups, r channels of a group, n states.
"""

from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from armillary.core.ops.precision import accumulation_dtype, full_precision


def selective_scan(
    x: Float[Tensor, "b l d"],
    dt: Float[Tensor, "b l d"],
    A: Float[Tensor, "d n"],
    B: Float[Tensor, "b l g n"],
    C: Float[Tensor, "b l g n"],
    D: Float[Tensor, " d"] | None = None,
    z: Float[Tensor, "b l d"] | None = None,
    initial_state: Float[Tensor, "b d n"] | None = None,
    *,
    chunk: int = 16,
) -> tuple[Float[Tensor, "b l d"], Float[Tensor, "b d n"]]:
    """h_t = exp(dt_t A) h_{t-1} + dt_t B_t x_t; y_t = C_t·h_t + D x_t, times silu(z_t). Returns y and the last h.

    `dt` is the positive step size; a step of zero leaves the state as it is. `A` is negative. Channels
    share rows of B and C in g groups of d / g neighbours. Input B is discretised to first order, dt·B.
    The state is float32, or float64 if x is; y has the dtype of x. Both results carry gradients,
    once differentiable. Memory: the state is kept once every `chunk` steps and recomputed in between.

    References:
        Gu and Dao 2023, "Mamba: linear-time sequence modeling with selective state spaces", algorithm 2.
    """
    dtype = accumulation_dtype(x)
    if initial_state is None:
        initial_state = torch.zeros(x.shape[0], *A.shape, dtype=dtype, device=x.device)
    wide = [tensor.to(dtype) for tensor in (x, dt, A, B, C, initial_state)]
    y, state = cast(tuple[Tensor, Tensor], _Scan.apply(*wide, chunk))  # pyright: ignore[reportUnknownMemberType]
    y = y if D is None else y + D.to(dtype) * wide[0]
    y = y if z is None else y * functional.silu(z.to(dtype))
    return y.to(x.dtype), state


class _Scan(torch.autograd.Function):
    """The bare recurrence y_t = C_t·h_t; keeps chunk borders and rebuilds the states between them in backward."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, Tensor]:
        *tensors, chunk = inputs
        x, dt, A, B, C, state = _time_first(*tensors)
        ctx.spans = _spans(x.shape[0], chunk)
        scratch = _Scratch(x, A, chunk)
        borders, outputs = [state], [x[:0]]
        with full_precision(x):
            for span in ctx.spans:
                states, free = scratch.run(x[span], dt[span], A, B[span], borders[-1])
                outputs.append(_over_states(states, C[span, ..., None, :], free))
                borders.append(states[-1].clone())
        ctx.save_for_backward(x, dt, A, B, C, *borders[:-1])
        return torch.cat(outputs).flatten(2).transpose(0, 1), borders[-1].flatten(1, 2)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grads: Tensor
    ) -> tuple[Tensor | None, ...]:
        """λ_t = C_t gy_t + a_{t+1} λ_{t+1}, from the last chunk to the first."""
        x, dt, A, B, C, *borders = ctx.saved_tensors
        grad_y = torch.unflatten(grads[0].transpose(0, 1), -1, x.shape[2:]).contiguous()
        carry, grad_A = torch.unflatten(grads[1], 1, x.shape[2:]), torch.zeros_like(A)
        scratch = _Scratch(x, A, max((span.stop - span.start for span in ctx.spans), default=0))
        parts: list[tuple[Tensor, ...]] = [(x[:0], dt[:0], B[:0], C[:0])]
        with full_precision(x):
            for span, border in reversed(list(zip(ctx.spans, borders, strict=True))):
                *part, grad_A_part, carry = scratch.backward(
                    x[span], dt[span], A, B[span], C[span], border, grad_y[span], carry
                )
                parts.append(tuple(part))
                grad_A += grad_A_part
        by_input = (torch.cat(pieces[::-1]).transpose(0, 1) for pieces in zip(*parts, strict=True))
        grad_x, grad_dt, grad_B, grad_C = by_input
        return grad_x.flatten(2), grad_dt.flatten(2), grad_A.flatten(0, 1), grad_B, grad_C, carry.flatten(1, 2), None


def _time_first(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, state: Tensor) -> tuple[Tensor, ...]:
    """Shapes (t b g r), (t b g r), (g r n), (t b g n), (t b g n), (b g r n), contiguous."""
    groups = (B.shape[2], x.shape[-1] // B.shape[2])
    channels = (torch.unflatten(tensor, -1, groups).transpose(0, 1).contiguous() for tensor in (x, dt))
    rows = (tensor.transpose(0, 1).contiguous() for tensor in (B, C))
    decay, state = torch.unflatten(A, 0, groups), torch.unflatten(state, 1, groups)
    x, dt = channels
    return x, dt, decay, *rows, state


def _spans(length: int, chunk: int) -> list[slice]:
    """The steps of every chunk."""
    return [slice(first, min(first + chunk, length)) for first in range(0, length, chunk)]


class _Scratch:
    """Buffers (t b g r n) of one chunk, used again for every chunk: fresh pages cost more than the arithmetic."""

    def __init__(self, x: Tensor, A: Tensor, chunk: int) -> None:
        self.shape = (min(chunk, x.shape[0]), *x.shape[1:], A.shape[-1])
        self.decay, self.states, self.costate = x.new_empty(self.shape), x.new_empty(self.shape), None

    def run(self, x: Tensor, dt: Tensor, A: Tensor, B: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """States after every step of a chunk, and the decays that led to them."""
        decay, states = self.decay[: x.shape[0]], self.states[: x.shape[0]]
        torch.mul(dt[..., None], A, out=decay).exp_()
        torch.mul((dt * x)[..., None], B[..., None, :], out=states)
        # In place on views of one buffer: indexing or stacking inside the loop would copy the buffer every step.
        for factor, here in zip(decay.unbind(), states.unbind(), strict=True):
            state = here.addcmul_(factor, state)
        return states, decay

    def run_back(self, grad_y: Tensor, C: Tensor, decay: Tensor, carry: Tensor) -> tuple[Tensor, Tensor]:
        """λ at every step of a chunk, and the gradient of the state that entered it."""
        self.costate = self.decay.new_empty(self.shape) if self.costate is None else self.costate
        costate = self.costate[: grad_y.shape[0]]
        torch.mul(grad_y[..., None], C[..., None, :], out=costate)
        steps, factors = costate.unbind()[::-1], decay.unbind()[::-1]
        later = steps[0].add_(carry)
        for factor, here in zip(factors, steps[1:], strict=False):
            later = here.addcmul_(factor, later)
        return costate, factors[-1] * later

    def backward(
        self, x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, state: Tensor, grad_y: Tensor, carry: Tensor
    ) -> tuple[Tensor, ...]:
        """Gradients of x, dt, B, C and A in one chunk, and of the state that entered it."""
        states, decay = self.run(x, dt, A, B, state)
        costate, carry = self.run_back(grad_y, C, decay, carry)
        grad_C = torch.matmul(grad_y[..., None, :], states).squeeze(-2)
        grad_B = torch.matmul((dt * x)[..., None, :], costate).squeeze(-2)
        # d loss / d (dt·A) = λ_t h_{t-1} a_t; each buffer is taken over once its contents are used.
        exponent = decay.mul_(costate)
        exponent[0].mul_(state)
        exponent[1:].mul_(states[:-1])
        drive = _over_states(costate, B[..., None, :], states)
        grad_A = torch.mul(exponent, dt[..., None], out=costate).sum((0, 1))
        grad_dt = x * drive + _over_states(exponent, A, exponent)
        return dt * drive, grad_dt, grad_B, grad_C, grad_A, carry


def _over_states(left: Tensor, right: Tensor, buffer: Tensor) -> Tensor:
    """Σ_n left · right; `buffer` holds the products.

    A product with ones sums so short an axis three times faster than a reduction does.
    """
    products = torch.mul(left, right, out=buffer)
    return torch.matmul(products, products.new_ones(products.shape[-1]))
