"""The selective scan in plain torch: blocks of time steps, each step one fused multiply-add.

Axis letters: t steps of a chunk, b batch, g groups, r channels of a group, n states.
"""

from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from armillary.core.ops.custom import custom_op
from armillary.core.ops.precision import accumulation_dtype, full_precision

CHUNK = 16
Three = tuple[Tensor, Tensor, Tensor]
Six = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


def selective_scan_portable(
    x: Float[Tensor, "b l d"],
    dt: Float[Tensor, "b l d"],
    A: Float[Tensor, "d n"],
    B: Float[Tensor, "b l g n"],
    C: Float[Tensor, "b l g n"],
    D: Float[Tensor, " d"] | None = None,
    z: Float[Tensor, "b l d"] | None = None,
    initial_state: Float[Tensor, "b d n"] | None = None,
    path: Int[Tensor, " l"] | None = None,
    reverse: bool = False,
    *,
    chunk: int | None = None,
) -> tuple[Float[Tensor, "b l d"], Float[Tensor, "b d n"]]:
    """See `selective_scan`; another order than that of the sequence costs a copy of x, dt, B, C and y."""
    dtype = accumulation_dtype(x)
    if initial_state is None:
        initial_state = torch.zeros(x.shape[0], *A.shape, dtype=dtype, device=x.device)
    wide = [tensor.to(dtype) for tensor in (x, dt, A, B, C, initial_state)]
    visited = [tensor if i in (2, 5) else _visit(tensor, path, reverse) for i, tensor in enumerate(wide)]
    y, state, _ = cast(Three, _scan(*visited, chunk or CHUNK))
    y = _visit(y, None if path is None else _inverse(path, reverse), reverse and path is None)
    y = y if D is None else y + D.to(dtype) * wide[0]
    y = y if z is None else y * functional.silu(z.to(dtype))
    return y.to(x.dtype), state


def _visit(tensor: Tensor, path: Tensor | None, reverse: bool) -> Tensor:
    """Rows (b l ...) in the order in which a scan visits them."""
    if path is None:
        return tensor.flip(1) if reverse else tensor
    return tensor.index_select(1, path.flip(0) if reverse else path)


def _inverse(path: Tensor, reverse: bool) -> Tensor:
    """The step at which each token is visited."""
    steps = torch.argsort(path)
    return len(path) - 1 - steps if reverse else steps


@custom_op("selective_scan_portable")
def _scan(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, initial_state: Tensor, chunk: int) -> Three:
    """The bare recurrence y_t = C_t·h_t: y, the last state, and the state before each chunk, (chunks b d n)."""
    x, dt, rate, weight, read, state = _time_first(x, dt, A, B, C, initial_state)
    spans = _spans(x.shape[0], chunk)
    scratch, state = _Scratch(x, rate, chunk), state.clone(memory_format=torch.contiguous_format)
    borders, outputs = state.new_empty(len(spans), *state.shape), [x[:0]]
    with full_precision(x):
        for border, span in zip(borders.unbind(), spans, strict=True):
            border.copy_(state)
            states, free = scratch.run(x[span], dt[span], rate, weight[span], border)
            outputs.append(_over_states(states, read[span, ..., None, :], free))
            state.copy_(states[-1])
    return torch.cat(outputs).flatten(2).transpose(0, 1), state.flatten(1, 2), borders.flatten(2, 3)


@custom_op("selective_scan_portable_backward")
def _scan_back(
    grad_y: Tensor,
    grad_state: Tensor,
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    borders: Tensor,
    chunk: int,
) -> Six:
    """λ_t = C_t gy_t + a_{t+1} λ_{t+1}, from the last chunk to the first: gradients of the six tensors of `_scan`."""
    x, dt, rate, weight, read, carry = _time_first(x, dt, A, B, C, grad_state)
    groups = x.shape[2:]
    grad_y = torch.unflatten(grad_y.transpose(0, 1), -1, groups).contiguous()
    # Contiguous, as their shapes are told for tracing: `clone` and `zeros_like` would keep the strides they are given.
    spans, grad_A = _spans(x.shape[0], chunk), rate.new_zeros(rate.shape)
    carry = carry.clone(memory_format=torch.contiguous_format)
    scratch = _Scratch(x, rate, chunk)
    parts: list[tuple[Tensor, ...]] = [(x[:0], dt[:0], weight[:0], read[:0])]
    with full_precision(x):
        for span, border in reversed(list(zip(spans, torch.unflatten(borders, 2, groups).unbind(), strict=True))):
            *part, grad_A_part, carry = scratch.backward(
                x[span], dt[span], rate, weight[span], read[span], border, grad_y[span], carry
            )
            parts.append(tuple(part))
            grad_A += grad_A_part
    grad_x, grad_dt, grad_B, grad_C = (torch.cat(pieces[::-1]).transpose(0, 1) for pieces in zip(*parts, strict=True))
    return grad_x.flatten(2), grad_dt.flatten(2), grad_A.flatten(0, 1), grad_B, grad_C, carry.flatten(1, 2)


def _like_rows(tensor: Tensor) -> Tensor:
    """Shaped as (b l ...), with the tokens outermost in memory: as the scan gives its rows."""
    return tensor.new_empty(tensor.shape[1], tensor.shape[0], *tensor.shape[2:]).transpose(0, 1)


@_scan.register_fake
def _(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, initial_state: Tensor, chunk: int) -> Three:
    state = x.new_empty(x.shape[0], *A.shape)
    return _like_rows(x), state, x.new_empty(-(-x.shape[1] // chunk), *state.shape)


@_scan_back.register_fake
def _(
    grad_y: Tensor,
    grad_state: Tensor,
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    borders: Tensor,
    chunk: int,
) -> Six:
    x_grad, dt_grad, B_grad, C_grad = map(_like_rows, (x, dt, B, C))
    return x_grad, dt_grad, A.new_empty(A.shape), B_grad, C_grad, x.new_empty(x.shape[0], *A.shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Three) -> None:
    ctx.chunk = inputs[6]
    ctx.save_for_backward(*inputs[:5], output[2])
    ctx.set_materialize_grads(False)


def _gradients(ctx: Any, grad_y: Tensor | None, grad_state: Tensor | None, _: Tensor | None) -> tuple[Any, ...]:
    saved = ctx.saved_tensors  # once: a checkpointed block unpacks them a single time
    x, A = saved[0], saved[2]
    grad_y = torch.zeros_like(x) if grad_y is None else grad_y
    grad_state = x.new_zeros(x.shape[0], *A.shape) if grad_state is None else grad_state
    return (*_scan_back(grad_y, grad_state, *saved, ctx.chunk), None)


_scan.register_autograd(_gradients, setup_context=_save)


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
