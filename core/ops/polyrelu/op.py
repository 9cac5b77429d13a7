"""PolyReLU, a learned cubic of the positive part."""

from jaxtyping import Float
from torch import Tensor

from armillary.core.ops.checks import check_alike, check_shape
from armillary.core.ops.dispatch import Op

_HOME = "armillary.core.ops.polyrelu"
OP = Op(
    "polyrelu",
    reference=f"{_HOME}.reference:polyrelu_reference",
    portable=f"{_HOME}.portable:polyrelu_portable",
    native=f"{_HOME}.native:polyrelu_native",
    triton=f"{_HOME}.triton:polyrelu_triton",
)


def polyrelu(x: Float[Tensor, "*b"], weight: Float[Tensor, "..."], bias: Float[Tensor, "..."]) -> Float[Tensor, "*b"]:
    """w_0 p³ + w_1 p² + w_2 p + bias with p = max(x, 0), element by element.

    weight: (3,), the cubic term first; bias: (), one for all. Computed in float32, or float64 if x is; y has the dtype
    of x. The slope at x = 0 is 0; NaN stays NaN. Once differentiable; x alone is kept for the backward pass. Gradients
    of weight and bias are summed over blocks, then over the blocks' sums; natively they are the same for any number
    of threads.

    Raises:
        ValueError: other shapes, dtypes or devices.

    References:
        Zhuo et al. 2025, "Polynomial composition activations: unleashing the dynamics of large language models".
    """
    check_alike("polyrelu", x=x, weight=weight, bias=bias)
    check_shape("polyrelu", "weight", weight, (3,), "3")
    check_shape("polyrelu", "bias", bias, (), "no axis")
    return OP(x, weight, bias)
