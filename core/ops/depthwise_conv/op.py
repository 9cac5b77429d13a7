"""The depth-wise convolution with taps on both sides: the public call."""

from jaxtyping import Float
from torch import Tensor

from armillary.core.ops.checks import check_alike, check_rank, check_shape
from armillary.core.ops.dispatch import Op

_HERE = "armillary.core.ops.depthwise_conv"
OP = Op(
    "depthwise_conv",
    reference=f"{_HERE}.reference:depthwise_conv_reference",
    portable=f"{_HERE}.portable:depthwise_conv_portable",
    native=f"{_HERE}.native:depthwise_conv_native",
)


def depthwise_conv(
    x: Float[Tensor, "b l c"],
    weight: Float[Tensor, "c k"],
    *,
    ahead: int | None = None,
    dilation: int = 1,
    silu: bool = False,
) -> Float[Tensor, "b l c"]:
    """y_t = Σ_j weight_j f(x_{t + (j - k + 1 + ahead) dilation}), every channel by itself; f is silu if asked.

    Tokens before the first and after the last count as zeros. `ahead` of the k taps read later tokens: half of them if
    None, so that an odd kernel is centred; with 0 it is causal. silu(x) = x / (1 + exp(-x)) is taken before the sum,
    where that of `causal_conv` comes after it. Sums are float32, or float64 if x is; y has the dtype of x. Kept for
    backward: the inputs. Once differentiable by autograd.

    Raises:
        ValueError: shapes, dtypes or devices that do not fit each other, taps that no kernel has.
    """
    name = "depthwise_conv"
    check_rank(name, "x", x, 3, "b l c")
    check_rank(name, "weight", weight, 2, "c k")
    taps = weight.shape[1]
    if taps < 1:
        raise ValueError(f"{name}: weight has shape {tuple(weight.shape)}, expected (c k) with at least one tap.")
    check_shape(name, "weight", weight, (x.shape[2], taps), "c k")
    check_alike(name, x=x, weight=weight)
    ahead = taps // 2 if ahead is None else ahead
    if not 0 <= ahead < taps:
        raise ValueError(f"{name}: ahead = {ahead} of {taps} taps, expected 0 to {taps - 1}.")
    if dilation < 1:
        raise ValueError(f"{name}: dilation = {dilation}, expected 1 or more.")
    return OP(x, weight, ahead, dilation, silu)
