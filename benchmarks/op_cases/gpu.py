"""The cases of benchmarks/gpu_ops.py: sizes, least work, peers, and what core design asks of each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch.nn import functional

from armillary.pipelines.bench_examples import Example
from op_cases import gpu_peers, roofline
from op_cases.roofline import Count

Peer = Callable[[Mapping[str, Any], Mapping[str, Any]], Example]


@dataclass(frozen=True)
class GpuCase:
    """An op at the sizes of a device, and at tiny ones for a rehearsal without one.

    judged: sizes other than those of the device at which the oracle is asked.
    wide: inputs that stay float32 in half precision, as state-space parameters and coefficients do.
    target: asked share of the roofline, forward and backward.
    """

    op: str
    sizes: Mapping[str, Any]
    judged: Mapping[str, Any]
    tiny: Mapping[str, Any]
    count: Count
    target: tuple[float, float]
    wide: tuple[str, ...] = ()
    peers: Mapping[str, Peer] = field(default_factory=dict)


_ATTENTION: Mapping[str, Peer] = {
    "natten": gpu_peers.natten,
    "torch FlexAttention": gpu_peers.flex_attention,
    "dense SDPA": gpu_peers.dense,
}
_ROWS = {"batch": 8, "length": 4096, "width": 1024}
_SOME_ROWS = {"batch": 1, "length": 64}
_FEW_ROWS = {"batch": 1, "length": 3, "width": 16}

CASES = {
    "selective-scan": GpuCase(
        "selective_scan",
        {"batch": 8, "length": 4096, "width": 2048, "state": 16},
        {"batch": 1, "length": 512, "width": 16},
        {"batch": 1, "length": 5, "width": 4, "state": 4},
        roofline.selective_scan,
        target=(0.5, 0.35),
        wide=("A", "D"),
        peers={"mamba-ssm": gpu_peers.mamba_ssm_scan},
    ),
    "scalar-decay": GpuCase(
        "scalar_decay",
        {"batch": 4, "length": 8192, "heads": 32, "head_width": 64, "state": 128},
        {"batch": 1, "length": 512, "heads": 2},
        {"batch": 1, "length": 18, "heads": 1, "head_width": 16, "state": 16},
        roofline.scalar_decay,
        target=(0.30, 0.25),
        wide=("log_decay",),
        peers={"mamba-ssm SSD": gpu_peers.mamba_ssm_ssd, "flash-linear-attention": gpu_peers.flash_linear_attention},
    ),
    "neighbourhood-1d": GpuCase(
        "neighbourhood_attention",
        {"batch": 4, "grid": (16384,), "heads": 16, "head_width": 64, "window": 255, "dilation": 1},
        {"batch": 1, "grid": (1024,), "heads": 1},
        {"batch": 1, "grid": (9,), "heads": 1, "head_width": 16, "window": 3, "dilation": 1},
        roofline.neighbourhood,
        target=(0.5, 0.35),
        peers=_ATTENTION,
    ),
    "neighbourhood-2d": GpuCase(
        "neighbourhood_attention",
        {"batch": 4, "grid": (128, 128), "heads": 16, "head_width": 64, "window": 15, "dilation": 1},
        {"batch": 1, "grid": (40, 40), "heads": 1},
        {"batch": 1, "grid": (4, 5), "heads": 1, "head_width": 16, "window": 3, "dilation": 1},
        roofline.neighbourhood,
        target=(0.5, 0.35),
        peers=_ATTENTION,
    ),
    "rational": GpuCase(
        "rational",
        {**_ROWS, "groups": 8},
        _SOME_ROWS,
        {**_FEW_ROWS, "groups": 2},
        roofline.elementwise(25, 60),
        target=(0.85, 0.70),
        wide=("numerator", "denominator"),
        peers={
            "kat_rational": gpu_peers.kat_rational,
            "torch SiLU": gpu_peers.eager(functional.silu, ("x",)),
        },
    ),
    "polynorm": GpuCase(
        "polynorm", _ROWS, _SOME_ROWS, _FEW_ROWS, roofline.elementwise(20, 50), (0.8, 0.7), ("weight", "bias")
    ),
    "polyrelu": GpuCase(
        "polyrelu", _ROWS, _SOME_ROWS, _FEW_ROWS, roofline.elementwise(8, 20), (0.8, 0.7), ("weight", "bias")
    ),
    "causal-conv": GpuCase(
        "causal_conv", _ROWS, _SOME_ROWS, _FEW_ROWS, roofline.elementwise(10, 30, 1), (0.8, 0.7), ("weight", "bias")
    ),
}
