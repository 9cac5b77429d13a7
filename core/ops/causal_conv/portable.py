"""The depth-wise causal convolution in plain torch, as shifted sums.

For a few taps these are several times faster on a CPU than torch's depth-wise convolution.
"""

from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from armillary.core.ops.precision import accumulation_dtype


def causal_conv_portable(
    x: Float[Tensor, "b l c"],
    weight: Float[Tensor, "c k"],
    bias: Float[Tensor, " c"] | None,
    history: Float[Tensor, "b m c"] | None,
    runs: Int[Tensor, "b l"] | None,
    silu: bool,
) -> Float[Tensor, "b l c"]:
    """See `causal_conv`. Kept for backward: the inputs, and with a SiLU what it is applied to."""
    dtype, reach = accumulation_dtype(x), weight.shape[1] - 1
    if history is None:
        history = x.new_zeros(x.shape[0], reach, x.shape[2])
    if bias is None:
        bias = weight.new_zeros(weight.shape[0])
    extended = torch.cat([history.to(dtype), x.to(dtype)], dim=1)
    results = _Convolution.apply(extended, weight.to(dtype), bias.to(dtype), _same_run(runs, reach), silu)  # pyright: ignore[reportUnknownMemberType]
    return cast(tuple[Tensor, Tensor], results)[0].to(x.dtype)


def _same_run(runs: Tensor | None, reach: int) -> Tensor | None:
    """Whether the token at a tap is of the same run (k b l 1)."""
    if runs is None or runs.shape[1] == 0:
        return None
    places = torch.cat([runs[:, :1].expand(-1, reach), runs], dim=1)
    return torch.stack([places[:, tap : tap + runs.shape[1], None] == runs[..., None] for tap in range(reach + 1)])


def _own(values: Tensor, same: Tensor) -> Tensor:
    """Zero for tokens of another run; a product would let their NaN through."""
    return torch.where(same, values, 0)


class _Convolution(torch.autograd.Function):
    """Outputs, and what the SiLU is applied to, from inputs that begin with the history."""

    generate_vmap_rule = True

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        extended: Tensor, weight: Tensor, bias: Tensor, same: Tensor | None, silu: bool
    ) -> tuple[Tensor, Tensor]:
        length = extended.shape[1] - weight.shape[1] + 1
        total = bias
        for tap, factor in enumerate(weight.unbind(1)):
            shifted = extended[:, tap : tap + length]
            total = torch.addcmul(total, shifted if same is None else _own(shifted, same[tap]), factor)
        return (functional.silu(total), total) if silu else (total, total.new_zeros(()))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        extended, weight, _, same, ctx.silu = inputs
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(extended, weight, same, output[1])

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, grad: Tensor, _: Tensor
    ) -> tuple[Tensor | None, ...]:
        extended, weight, same, total = ctx.saved_tensors
        if ctx.silu:
            grad = torch.ops.aten.silu_backward(grad, total)
        length, reach = grad.shape[1], weight.shape[1] - 1
        padded = functional.pad(grad, (0, 0, reach, reach))
        grad_extended = torch.zeros_like(extended[:, :1])
        grad_weight: list[Tensor] = []
        for tap, factor in enumerate(weight.unbind(1)):
            shifted, back = extended[:, tap : tap + length], padded[:, reach - tap : 2 * reach - tap + length]
            if same is not None:
                shifted = _own(shifted, same[tap])
                back = functional.pad(_own(grad, same[tap]), (0, 0, tap, reach - tap))
            grad_extended = torch.addcmul(grad_extended, back, factor)
            grad_weight.append((grad * shifted).sum((0, 1)))
        return grad_extended, torch.stack(grad_weight, 1), grad.sum((0, 1)), None, None
