"""The depth-wise causal convolution on a GPU: one pass each way, weight gradients in two stages.

Letters of tiles: T tokens, C channels. A program handles a block of tokens of one row and a block of channels.
"""

# pyright: reportMissingParameterType=false, reportUnknownParameterType=false, reportPrivateUsage=false
from collections.abc import Callable, Mapping
from typing import Any, cast, no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from armillary.core.ops.custom import custom_op
from armillary.core.ops.tuned import Tuned


def causal_conv_triton(
    x: Float[Tensor, "b l c"],
    weight: Float[Tensor, "c k"],
    bias: Float[Tensor, " c"] | None,
    history: Float[Tensor, "b m c"] | None,
    runs: Int[Tensor, "b l"] | None,
    silu: bool,
) -> Float[Tensor, "b l c"]:
    """See `causal_conv`. With a SiLU, what it is applied to is computed again in backward."""
    if x.numel() == 0:
        return x
    if history is None:
        history = x.new_zeros(x.shape[0], weight.shape[1] - 1, x.shape[2])
    if bias is None:
        bias = weight.new_zeros(weight.shape[0])
    numbers = None if runs is None else runs.int().contiguous()
    history = history.to(x.dtype).contiguous()
    return cast(
        Tensor, _forward(x.contiguous(), weight.float().contiguous(), bias.float().contiguous(), history, numbers, silu)
    )


@triton.jit
@no_type_check
def _tap(x, history, runs, t, c, offset, length, channels, K: tl.constexpr, PACKED: tl.constexpr):
    """A (T, C) tile of the inputs `offset` tokens back, from the history before the first; zero in another run."""
    source, real = t - offset, t < length
    old = history + (source + K - 1)[:, None] * channels + c[None, :]
    new = x + source[:, None] * channels + c[None, :]
    inside = real[:, None] & (c < channels)[None, :]
    late = (source >= 0)[:, None]
    values = tl.load(new, mask=inside & late, other=0.0) + tl.load(old, mask=inside & (late == 0), other=0.0)
    if PACKED:
        here = tl.load(runs + t, mask=real, other=0)
        there = tl.load(runs + tl.maximum(source, 0), mask=real, other=0)
        values = tl.where((here == there)[:, None], values, 0.0)
    return values.to(tl.float32)


@triton.jit
@no_type_check
def _sums(
    x, weight, bias, history, runs, y, length, channels,
    K: tl.constexpr, PACKED: tl.constexpr, SILU: tl.constexpr, BT: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """A tile of y."""
    index, blocks = tl.program_id(0).to(tl.int64), tl.cdiv(length, BT)
    row, t = index // blocks, (index % blocks) * BT + tl.arange(0, BT)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    x += row * length * channels
    history += row * (K - 1) * channels
    runs += row * length
    total = tl.zeros((BT, BC), tl.float32) + tl.load(bias + c, mask=c < channels, other=0.0)[None, :]
    for tap in tl.static_range(K):
        values = _tap(x, history, runs, t, c, K - 1 - tap, length, channels, K, PACKED)
        total += values * tl.load(weight + c * K + tap, mask=c < channels, other=0.0)[None, :]
    if SILU:
        total = total / (1.0 + tl.exp(-total))
    places = (row * length + t)[:, None] * channels + c[None, :]
    tl.store(y + places, total.to(y.dtype.element_ty), mask=(t < length)[:, None] & (c < channels)[None, :])


@triton.jit
@no_type_check
def _sums_back(
    x, weight, bias, history, runs, grad_y, grad_total, grad_weight, grad_bias, length, channels,
    K: tl.constexpr, PACKED: tl.constexpr, SILU: tl.constexpr, BT: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """A tile of the gradient before the SiLU, and the tile's share of the gradients of weight and bias."""
    index, blocks = tl.program_id(0).to(tl.int64), tl.cdiv(length, BT)
    row, t = index // blocks, (index % blocks) * BT + tl.arange(0, BT)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    x += row * length * channels
    history += row * (K - 1) * channels
    runs += row * length
    places = (row * length + t)[:, None] * channels + c[None, :]
    inside = (t < length)[:, None] & (c < channels)[None, :]
    grad = tl.load(grad_y + places, mask=inside, other=0.0).to(tl.float32)
    if SILU:
        total = tl.zeros((BT, BC), tl.float32) + tl.load(bias + c, mask=c < channels, other=0.0)[None, :]
        for tap in tl.static_range(K):
            values = _tap(x, history, runs, t, c, K - 1 - tap, length, channels, K, PACKED)
            total += values * tl.load(weight + c * K + tap, mask=c < channels, other=0.0)[None, :]
        gate = 1.0 / (1.0 + tl.exp(-total))
        grad = grad * gate * (1.0 + total * (1.0 - gate))
    tl.store(grad_total + places, grad, mask=inside)
    tl.store(grad_bias + index * channels + c, tl.sum(grad, axis=0), mask=c < channels)
    for tap in tl.static_range(K):
        values = _tap(x, history, runs, t, c, K - 1 - tap, length, channels, K, PACKED)
        share = tl.sum(grad * values, axis=0)
        tl.store(grad_weight + (index * channels + c) * K + tap, share, mask=c < channels)


@triton.jit
@no_type_check
def _inputs_back(
    grad_total, weight, runs, grad_extended, length, channels,
    K: tl.constexpr, PACKED: tl.constexpr, BT: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """A tile of the gradient of the inputs, which begin with the history."""
    index, blocks = tl.program_id(0).to(tl.int64), tl.cdiv(length + K - 1, BT)
    row, place = index // blocks, (index % blocks) * BT + tl.arange(0, BT)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    grad_total += row * length * channels
    runs += row * length
    source, total = place - (K - 1), tl.zeros((BT, BC), tl.float32)
    for tap in tl.static_range(K):
        t = place - tap
        real = (t >= 0) & (t < length)
        if PACKED:
            here = tl.load(runs + t, mask=real, other=0)
            there = tl.load(runs + tl.maximum(source, 0), mask=real, other=0)
            real = real & (here == there)
        inside = real[:, None] & (c < channels)[None, :]
        grad = tl.load(grad_total + t[:, None] * channels + c[None, :], mask=inside, other=0.0)
        total += grad * tl.load(weight + c * K + tap, mask=c < channels, other=0.0)[None, :]
    extent = length + K - 1
    places = (row * extent + place)[:, None] * channels + c[None, :]
    tl.store(
        grad_extended + places,
        total.to(grad_extended.dtype.element_ty),
        mask=(place < extent)[:, None] & (c < channels)[None, :],
    )


_CONFIGS = (
    {"BT": 16, "BC": 64, "num_warps": 4},
    {"BT": 64, "BC": 32, "num_warps": 4},
    {"BT": 64, "BC": 64, "num_warps": 8},
    {"BT": 128, "BC": 32, "num_warps": 4},
)
_SHARE = 64  # tokens whose gradients of weight and bias are summed by one program
_SHARE_CONFIGS = ({"BC": 32, "num_warps": 4}, {"BC": 64, "num_warps": 4}, {"BC": 64, "num_warps": 8})
SUMS = Tuned(_sums, _CONFIGS, ("channels", "K", "PACKED", "SILU"))
SUMS_BACK = Tuned(_sums_back, _SHARE_CONFIGS, ("channels", "K", "PACKED", "SILU"))
INPUTS_BACK = Tuned(_inputs_back, _CONFIGS, ("channels", "K", "PACKED"))


@custom_op("causal_conv_triton")
def _forward(x: Tensor, weight: Tensor, bias: Tensor, history: Tensor, runs: Tensor | None, silu: bool) -> Tensor:
    y, (batch, length, channels) = torch.empty_like(x), x.shape
    SUMS[_grid(batch, length, channels)](
        x, weight, bias, history, x if runs is None else runs, y, length, channels,
        K=weight.shape[1], PACKED=runs is not None, SILU=silu,
    )  # fmt: skip
    return y


@_forward.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor, history: Tensor, runs: Tensor | None, silu: bool) -> Tensor:
    return torch.empty_like(x)


@custom_op("causal_conv_triton_backward")
def _backward(
    x: Tensor, weight: Tensor, bias: Tensor, history: Tensor, runs: Tensor | None, grad_y: Tensor, silu: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of the inputs with the history in front, the weight and the bias."""
    (batch, length, channels), taps = x.shape, weight.shape[1]
    shares = batch * triton.cdiv(length, _SHARE)
    grad_total = torch.empty_like(x, dtype=torch.float32)
    grad_weight, grad_bias = weight.new_empty(shares, channels, taps), weight.new_empty(shares, channels)
    numbers = x if runs is None else runs
    SUMS_BACK[_grid(batch, length, channels, _SHARE)](
        x, weight, bias, history, numbers, grad_y, grad_total, grad_weight, grad_bias, length, channels,
        K=taps, PACKED=runs is not None, SILU=silu, BT=_SHARE,
    )  # fmt: skip
    grad_extended = x.new_empty(batch, length + taps - 1, channels)
    INPUTS_BACK[_grid(batch, length + taps - 1, channels)](
        grad_total, weight, numbers, grad_extended, length, channels, K=taps, PACKED=runs is not None
    )
    return grad_extended, grad_weight.sum(0), grad_bias.sum(0)


@_backward.register_fake
def _(
    x: Tensor, weight: Tensor, bias: Tensor, history: Tensor, runs: Tensor | None, grad_y: Tensor, silu: bool
) -> tuple[Tensor, Tensor, Tensor]:
    extended = x.new_empty(x.shape[0], x.shape[1] + history.shape[1], x.shape[2])
    return extended, torch.empty_like(weight), torch.empty_like(bias)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.silu = inputs
    ctx.save_for_backward(*tensors)


def _differentiate(ctx: Any, grad_y: Tensor) -> tuple[Tensor | None, ...]:
    x, weight, bias, history, runs = ctx.saved_tensors
    grads = _backward(x, weight, bias, history, runs, grad_y.contiguous(), ctx.silu)
    grad_extended, grad_weight, grad_bias = cast(tuple[Tensor, ...], grads)
    reach = weight.shape[1] - 1
    return grad_extended[:, reach:], grad_weight, grad_bias, grad_extended[:, :reach], None, None


_forward.register_autograd(_differentiate, setup_context=_keep)


def _grid(batch: int, length: int, channels: int, tokens: int | None = None) -> Callable[..., tuple[int, int]]:
    """A program for each block of tokens of each row, and each block of channels."""

    def grid(meta: Mapping[str, Any]) -> tuple[int, int]:
        return batch * triton.cdiv(length, tokens or meta["BT"]), triton.cdiv(channels, meta["BC"])

    return grid
