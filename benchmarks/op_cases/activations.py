"""Learned activations beside SiLU, the peers' fallback in plain torch, and the formula in eager torch."""

from torch import Tensor
from torch.nn import functional

from armillary.pipelines.bench_examples import EXAMPLES
from op_cases.case import Case, Here, Speed, There

_SIZES = {"batch": 4, "length": 1024, "width": 1024}
_JUDGED = {"batch": 1, "length": 256}


# Its fallback keeps the sign of odd powers in the denominator: another function where x < 0.
_KAT = There("kat_rational", {"groups": 8}, same=False)


def _rms_normed(z: Tensor) -> Tensor:
    return z * (z.square().mean(-1, keepdim=True) + 1e-6).rsqrt()


def _polynorm_eager(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return sum((w * _rms_normed(x**power) for w, power in zip(weight, (3, 2, 1), strict=True)), bias)


def _polynorm(title: str, *, backward: bool) -> Case:
    return Case(
        op="polynorm",
        title=title,
        make=EXAMPLES["polynorm"].example,
        sizes=_SIZES,
        judged=_JUDGED,
        peers={"eager": Here(_polynorm_eager)},
        targets=(Speed("at least 5 times eager torch", 5, ("eager",)),),
        backward=backward,
    )


CASES = {
    "rational-forward": Case(
        op="rational",
        title="group rational",
        make=EXAMPLES["rational"].example,
        sizes={**_SIZES, "groups": 8},
        judged=_JUDGED,
        peers={
            "SiLU": Here(functional.silu, lambda inputs: {"input": inputs["x"]}, same=False),
            "kat_rational": _KAT,
        },
        targets=(Speed("within 3 times SiLU", 1 / 3, ("SiLU",)),),
        backward=False,
    ),
    "rational": Case(
        op="rational",
        title="group rational",
        make=EXAMPLES["rational"].example,
        sizes={**_SIZES, "groups": 8},
        judged=_JUDGED,
        peers={"kat_rational": _KAT},
        targets=(Speed("at least 10 times kat_rational's fallback", 10, ("kat_rational",)),),
    ),
    "polynorm-forward": _polynorm("PolyNorm", backward=False),
    "polynorm": _polynorm("PolyNorm", backward=True),
}
