"""Neighbourhood attention beside dense attention and NATTEN."""

from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional

from armillary.pipelines.bench_examples import EXAMPLES
from op_cases.case import Case, Growth, Here, Speed, There

_ENTRY = EXAMPLES["neighbourhood_attention"]
_LINE = {"batch": 4, "heads": 8, "head_width": 32, "window": 63, "dilation": 1}
_PLANE = {"batch": 4, "grid": (32, 32), "heads": 8, "head_width": 32, "window": 7}


def _heads_first(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.transpose(1, 2).contiguous() for name, tensor in inputs.items()}


def _dense(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return functional.scaled_dot_product_attention(q, k, v)


def _line(length: int, *targets: Speed | Growth) -> Case:
    return Case(
        op="neighbourhood_attention",
        title="neighbourhood attention 1-D",
        make=_ENTRY.example,
        sizes={**_LINE, "grid": (length,)},
        judged={"batch": 1, "heads": 1},
        peers={"dense SDPA": Here(_dense, _heads_first, same=False)},
        targets=targets,
    )


def _plane(dilation: int) -> Case:
    return Case(
        op="neighbourhood_attention",
        title="neighbourhood attention 2-D",
        make=_ENTRY.example,
        sizes={**_PLANE, "dilation": dilation},
        judged={"batch": 1, "heads": 2},
        peers={"natten": There("natten", {"window": _PLANE["window"], "dilation": dilation})},
        targets=(Speed("at least 20 times NATTEN's CPU path", 20, ("natten",)),),
        backward=False,
    )


CASES = {
    "neighbourhood-1d-1024": _line(1024, Speed("faster than dense attention", 1, ("dense SDPA",))),
    "neighbourhood-1d-8192": _line(
        8192,
        Speed("at least 10 times dense attention", 10, ("dense SDPA",)),
        Growth("memory linear in the length: 8 times that at L1024, and a tenth", 8.8, {"grid": (1024,)}),
    ),
    "neighbourhood-2d-dilation1": _plane(1),
    "neighbourhood-2d-dilation4": _plane(4),
}
