"""PolyNorm, a learned combination of normalised powers."""

from jaxtyping import Float
from torch import Tensor

from armillary.core.ops.checks import check_alike, check_shape
from armillary.core.ops.dispatch import Op

_HOME = "armillary.core.ops.polynorm"
OP = Op(
    "polynorm",
    reference=f"{_HOME}.reference:polynorm_reference",
    portable=f"{_HOME}.portable:polynorm_portable",
    native=f"{_HOME}.native:polynorm_native",
    triton=f"{_HOME}.triton:polynorm_triton",
)


def polynorm(
    x: Float[Tensor, "*b d"], weight: Float[Tensor, "..."], bias: Float[Tensor, "..."]
) -> Float[Tensor, "*b d"]:
    """w_0 n(x³) + w_1 n(x²) + w_2 n(x) + bias with n(z) = z / sqrt(mean_d z² + 1e-6), each row by itself.

    weight: (3,), the cubic term first; bias: (), one for all channels. Every channel sees the others through the
    means. Computed in float32, or float64 if x is, since x⁶ leaves the range of half precision; y has the dtype of x.
    Beyond |x| = 2e6 the sixth power overflows float32, and the cubic term is lost without a sign. A row with an input
    that is not finite gives NaN there. Once differentiable; x alone is kept for the backward pass. Gradients of weight
    and bias are summed over blocks of rows, then over the blocks; natively they are the same for any number of threads.

    Raises:
        ValueError: other shapes, dtypes or devices.

    References:
        Zhuo et al. 2025, "Polynomial composition activations: unleashing the dynamics of large language models".
    """
    if x.ndim == 0:
        raise ValueError("polynorm: x has no axis, expected (..., d) with the channels last.")
    check_alike("polynorm", x=x, weight=weight, bias=bias)
    check_shape("polynorm", "weight", weight, (3,), "3")
    check_shape("polynorm", "bias", bias, (), "no axis")
    return OP(x, weight, bias)
