"""One typical call of every op, at sizes of one's choice: what `armillary bench` and the benchmarks time."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from armillary.core.ops.causal_conv import causal_conv
from armillary.core.ops.depthwise_conv import depthwise_conv
from armillary.core.ops.mamba2_step import mamba2_step
from armillary.core.ops.mamba_step import mamba_step
from armillary.core.ops.neighbourhood import neighbourhood_attention
from armillary.core.ops.polynorm import polynorm
from armillary.core.ops.polyrelu import polyrelu
from armillary.core.ops.rational import rational
from armillary.core.ops.scalar_decay import scalar_decay
from armillary.core.ops.selective_scan import selective_scan


@dataclass(frozen=True)
class Example:
    """A function and its tensors by name. Floating ones are leaves of the gradient, where there is one."""

    function: Callable[..., Any]
    inputs: Mapping[str, Tensor]
    differentiable: bool = True

    def __call__(self) -> tuple[Tensor, ...]:
        """All outputs."""
        found = self.function(**self.inputs)
        return found if isinstance(found, tuple) else (found,)

    def to(self, *, device: str | None = None, dtype: torch.dtype | None = None) -> "Example":
        """The same on another device, or with floating tensors of another dtype."""
        moved = {
            name: tensor.to(device=device, dtype=dtype if tensor.is_floating_point() else None)
            for name, tensor in self.inputs.items()
        }
        return replace(self, inputs=moved)

    @property
    def leaves(self) -> list[Tensor]:
        return [tensor for tensor in self.inputs.values() if tensor.is_floating_point()]


@dataclass(frozen=True)
class Entry:
    """How to make an example of an op; the sizes at which it is timed, and those at which the oracle is asked."""

    make: Callable[..., Example]
    timed: Mapping[str, Any]
    judged: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def example(self, **sizes: Any) -> Example:
        """At the timed sizes, or others where they are named. The same sizes give the same numbers."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return self.make(**{**self.timed, **sizes})


def _step_sizes(*shape: int) -> Tensor:
    """Log-uniform in [1e-3, 1e-1], where Mamba starts."""
    return torch.exp(torch.empty(*shape).uniform_(math.log(1e-3), math.log(1e-1)))


def _selective_scan(batch: int, length: int, width: int, state: int) -> Example:
    inputs = {
        "x": torch.randn(batch, length, width),
        "dt": _step_sizes(batch, length, width),
        "A": -torch.arange(1.0, state + 1).repeat(width, 1),
        "B": torch.randn(batch, length, 1, state),
        "C": torch.randn(batch, length, 1, state),
        "D": torch.ones(width),
    }
    return Example(selective_scan, inputs)


def _scalar_decay(batch: int, length: int, heads: int, head_width: int, state: int) -> Example:
    step = _step_sizes(batch, length, heads)
    inputs = {
        "x": step[..., None] * torch.randn(batch, length, heads, head_width),
        "log_decay": -step * torch.arange(1.0, heads + 1),
        "B": torch.randn(batch, length, 1, state),
        "C": torch.randn(batch, length, 1, state),
    }
    return Example(scalar_decay, inputs)


def _neighbourhood(
    batch: int, grid: tuple[int, ...], heads: int, head_width: int, window: int, dilation: int
) -> Example:
    rank = len(grid)
    settings = {
        "window": (window,) * rank,
        "dilation": (dilation,) * rank,
        "causal": (False,) * rank,
        "periodic": (False,) * rank,
    }
    inputs = {name: torch.randn(batch, *grid, heads, head_width) for name in ("q", "k", "v")}
    return Example(partial(neighbourhood_attention, **settings), inputs)


def _rational(batch: int, length: int, width: int, groups: int) -> Example:
    inputs = {
        "x": torch.randn(batch, length, width),
        "numerator": torch.randn(groups, 6),
        "denominator": torch.randn(groups, 4),
    }
    return Example(rational, inputs)


def _polynomial(function: Callable[..., Tensor], batch: int, length: int, width: int) -> Example:
    inputs = {"x": torch.randn(batch, length, width), "weight": torch.randn(3), "bias": torch.randn(())}
    return Example(function, inputs)


def _causal_conv(batch: int, length: int, width: int, taps: int) -> Example:
    inputs = {
        "x": torch.randn(batch, length, width),
        "weight": torch.randn(width, taps) * taps**-0.5,
        "bias": torch.randn(width),
    }
    return Example(partial(causal_conv, silu=True), inputs)


def _depthwise_conv(batch: int, length: int, width: int, taps: int) -> Example:
    inputs = {"x": torch.randn(batch, length, width), "weight": torch.randn(width, taps) * taps**-0.5}
    return Example(partial(depthwise_conv, silu=True), inputs)


def _mamba_step(batch: int, width: int, expand: int = 2, state: int = 16, taps: int = 4) -> Example:
    inner, rank = expand * width, math.ceil(width / 16)
    inputs = {
        "u": torch.randn(batch, width),
        "window": torch.randn(batch, taps - 1, inner),
        "state": torch.randn(batch, inner, state),
        "in_proj": _weight(2 * inner, width),
        "conv_weight": _weight(inner, taps),
        "conv_bias": torch.zeros(inner),
        "x_proj": _weight(rank + 2 * state, inner),
        "dt_proj": _weight(inner, rank),
        "dt_bias": _step_sizes(inner).expm1().log(),
        "A_log": torch.arange(1.0, state + 1).log().repeat(inner, 1),
        "D": torch.ones(inner),
        "out_proj": _weight(width, inner),
    }
    return Example(mamba_step, inputs, differentiable=False)


def _mamba2_step(batch: int, width: int, expand: int = 2, heads: int = 8, state: int = 64, taps: int = 4) -> Example:
    inner, channels = expand * width, expand * width + 2 * state
    inputs = {
        "u": torch.randn(batch, width),
        "window": torch.randn(batch, taps - 1, channels),
        "state": torch.randn(batch, heads, inner // heads, state),
        "in_proj": _weight(inner + channels + heads, width),
        "conv_weight": _weight(channels, taps),
        "conv_bias": torch.zeros(channels),
        "dt_bias": _step_sizes(heads).expm1().log(),
        "A_log": torch.arange(1.0, heads + 1).log(),
        "D": torch.ones(heads),
        "norm_weight": torch.ones(inner),
        "out_proj": _weight(width, inner),
    }
    return Example(partial(mamba2_step, states=state), inputs, differentiable=False)


def _weight(rows: int, columns: int) -> Tensor:
    return torch.randn(rows, columns) * columns**-0.5


_ROWS = {"batch": 4, "length": 512, "width": 512}
_FEW_ROWS = {"batch": 1, "length": 128, "width": 64}

EXAMPLES: Mapping[str, Entry] = {
    "selective_scan": Entry(
        _selective_scan,
        {"batch": 4, "length": 1024, "width": 128, "state": 16},
        {"batch": 1, "length": 256, "width": 8},
    ),
    "scalar_decay": Entry(
        _scalar_decay,
        {"batch": 4, "length": 1024, "heads": 4, "head_width": 64, "state": 64},
        {"batch": 1, "length": 256, "heads": 2, "head_width": 8},
    ),
    "neighbourhood_attention": Entry(
        _neighbourhood,
        {"batch": 4, "grid": (1024,), "heads": 4, "head_width": 32, "window": 63, "dilation": 1},
        {"batch": 1, "grid": (257,), "heads": 1},
    ),
    "rational": Entry(_rational, {**_ROWS, "groups": 8}, _FEW_ROWS),
    "polynorm": Entry(partial(_polynomial, polynorm), _ROWS, _FEW_ROWS),
    "polyrelu": Entry(partial(_polynomial, polyrelu), _ROWS, _FEW_ROWS),
    "causal_conv": Entry(_causal_conv, {**_ROWS, "taps": 4}, _FEW_ROWS),
    "depthwise_conv": Entry(_depthwise_conv, {**_ROWS, "taps": 17}, _FEW_ROWS),
    "mamba_step": Entry(_mamba_step, {"batch": 1, "width": 256}),
    "mamba2_step": Entry(_mamba2_step, {"batch": 1, "width": 256}),
}
