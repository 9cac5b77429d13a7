"""Dropout at a third of the usual cost on a CPU, where drawing random numbers takes as long as a layer."""

from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

_STEPS = 1 << 16  # a random number of 64 bits decides for four elements


class Dropout(nn.Module):
    """While training, zero each element with probability `rate`, else scale it by 1 / (1 - rate).

    On a CPU the rate is rounded to the nearest multiple of 2^-16.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, values: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        if not self.training or self.rate == 0:
            return values
        if values.device.type != "cpu":
            return functional.dropout(values, self.rate)
        kept, scale = draw_kept(values, self.rate)
        return cast(Tensor, _Thinned.apply(values, kept, scale))  # pyright: ignore[reportUnknownMemberType]


def draw_kept(values: Tensor, rate: float) -> tuple[Tensor, float]:
    """Which elements of values on a CPU stay, of the shape of `values`, and the factor that makes up for the others."""
    size, dropped = values.numel(), min(round(rate * _STEPS), _STEPS - 1)
    drawn = torch.randint(-(1 << 63), (1 << 63) - 1, (-(-size // 4),), dtype=torch.int64, device=values.device)
    kept = drawn.view(torch.int16)[:size].view(values.shape) >= dropped - _STEPS // 2
    return kept, _STEPS / (_STEPS - dropped)


class _Thinned(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, kept: Tensor, scale: float) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.scale = scale
        ctx.save_for_backward(kept)
        return (values * kept).mul_(scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (kept,) = ctx.saved_tensors
        return (grad * kept).mul_(ctx.scale), None, None
