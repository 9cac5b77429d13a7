"""Peers on an NVIDIA GPU: each takes the inputs of our example and gives its own, or raises ImportError."""

from collections.abc import Callable, Mapping
from functools import cache, partial
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from armillary.pipelines.bench_examples import Example

Inputs = Mapping[str, Tensor]


def mamba_ssm_scan(inputs: Inputs, sizes: Mapping[str, Any]) -> Example:
    """The CUDA kernel of mamba-ssm, which keeps time last."""
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    turned = {name: inputs[name].transpose(1, 2).contiguous() for name in ("x", "dt")}
    rows = {name: inputs[name].permute(0, 2, 3, 1).contiguous() for name in ("B", "C")}

    def function(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
        return selective_scan_fn(x, dt, A, B, C, D)

    return Example(function, {**turned, "A": inputs["A"], **rows, "D": inputs["D"]})


def mamba_ssm_ssd(inputs: Inputs, sizes: Mapping[str, Any]) -> Example:
    """The Triton kernels of mamba-ssm for Mamba-2, which multiply x and the decay by the step size themselves."""
    from mamba_ssm.ops.triton.ssd_combined import mamba_chunk_scan_combined

    step = torch.full_like(inputs["log_decay"], 0.01)
    decay = torch.arange(-1.0, -1.0 - sizes["heads"], -1.0, device=step.device)

    def function(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
        return mamba_chunk_scan_combined(x, dt, A, B, C, chunk_size=256)

    return Example(function, {"x": inputs["x"], "dt": step, "A": decay, "B": inputs["B"], "C": inputs["C"]})


def flash_linear_attention(inputs: Inputs, sizes: Mapping[str, Any]) -> Example:
    """Simple gated linear attention of flash-linear-attention: C is the query, B the key, x the value."""
    from fla.ops.simple_gla import chunk_simple_gla

    heads = {name: inputs[name].expand(-1, -1, sizes["heads"], -1).contiguous() for name in ("B", "C")}

    def function(q: Tensor, k: Tensor, v: Tensor, g: Tensor) -> Tensor:
        return chunk_simple_gla(q, k, v, g, scale=1.0)[0]

    return Example(function, {"q": heads["C"], "k": heads["B"], "v": inputs["x"], "g": inputs["log_decay"]})


def natten(inputs: Inputs, sizes: Mapping[str, Any]) -> Example:
    """NATTEN's kernels."""
    from natten import na1d, na2d

    call = na1d if len(sizes["grid"]) == 1 else na2d
    settings = {"kernel_size": sizes["window"], "dilation": sizes["dilation"]}
    return Example(lambda q, k, v: call(q, k, v, **settings), inputs)


def flex_attention(inputs: Inputs, sizes: Mapping[str, Any]) -> Example:
    """torch's compiled FlexAttention with the neighbourhood as its mask; it skips blocks without a pair."""
    function = partial(_compiled_flex(), block_mask=_block_mask(sizes["grid"], sizes["window"], sizes["dilation"]))
    return Example(lambda q, k, v: function(q, k, v), _heads_first(inputs))


def dense(inputs: Inputs, sizes: Mapping[str, Any]) -> Example:
    """torch's dense attention."""
    return Example(functional.scaled_dot_product_attention, _as_dense(_heads_first(inputs)))


def kat_rational(inputs: Inputs, sizes: Mapping[str, Any]) -> Example:
    """The Triton kernels of kat_rational."""
    from kat_rational.kat_1dgroup_triton import RationalTriton1DGroup

    def function(x: Tensor, numerator: Tensor, denominator: Tensor) -> Tensor:
        return RationalTriton1DGroup.apply(x, numerator, denominator, sizes["groups"])

    return Example(function, inputs)


def eager(function: Any, names: tuple[str, ...]) -> Any:
    """Plain torch on some of our inputs."""

    def make(inputs: Inputs, sizes: Mapping[str, Any]) -> Example:
        return Example(lambda **named: function(*named.values()), {name: inputs[name] for name in names})

    return make


def _heads_first(inputs: Inputs) -> dict[str, Tensor]:
    """(b, *grid, h, e) as (b, h, tokens, e)."""
    return {name: tensor.flatten(1, -3).transpose(1, 2).contiguous() for name, tensor in inputs.items()}


def _as_dense(inputs: Inputs) -> dict[str, Tensor]:
    return {{"q": "query", "k": "key", "v": "value"}[name]: tensor for name, tensor in inputs.items()}


@cache
def _compiled_flex() -> Any:
    from torch.nn.attention.flex_attention import flex_attention as flex

    return torch.compile(flex, dynamic=False)


@cache
def _block_mask(grid: tuple[int, ...], window: int, dilation: int) -> Any:
    from torch.nn.attention.flex_attention import create_block_mask

    tokens, device = prod(grid), "cuda" if torch.cuda.is_available() else "cpu"
    return create_block_mask(neighbours(grid, window, dilation), None, None, tokens, tokens, device=device)


def neighbours(grid: tuple[int, ...], window: int, dilation: int) -> Callable[..., Tensor]:
    """Whether a query attends a key, as FlexAttention asks: by batch row, head, and places in the flattened grid."""

    def axis(query: Tensor, key: Tensor, extent: int) -> Tensor:
        residue = query % dilation
        members = (extent - residue + dilation - 1) // dilation
        start = torch.minimum((query // dilation - window // 2).clamp(min=0), members - window)
        place = key // dilation
        return (key % dilation == residue) & (place >= start) & (place < start + window)

    def seen(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        allowed, below = axis(query % grid[-1], key % grid[-1], grid[-1]), grid[-1]
        for extent in grid[-2::-1]:
            allowed = allowed & axis(query // below % extent, key // below % extent, extent)
            below *= extent
        return allowed

    return seen
