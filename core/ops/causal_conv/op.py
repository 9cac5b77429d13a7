"""The depth-wise causal convolution: the public call."""

from jaxtyping import Float, Int
from torch import Tensor

from armillary.core.ops.checks import check_alike, check_numbers, check_rank, check_shape
from armillary.core.ops.dispatch import Op

_HERE = "armillary.core.ops.causal_conv"
OP = Op(
    "causal_conv",
    reference=f"{_HERE}.reference:causal_conv_reference",
    portable=f"{_HERE}.portable:causal_conv_portable",
    native=f"{_HERE}.native:causal_conv_native",
    triton=f"{_HERE}.triton:causal_conv_triton",
)


def causal_conv(
    x: Float[Tensor, "b l c"],
    weight: Float[Tensor, "c k"],
    bias: Float[Tensor, " c"] | None = None,
    history: Float[Tensor, "b m c"] | None = None,
    runs: Int[Tensor, "b l"] | None = None,
    *,
    silu: bool = False,
) -> Float[Tensor, "b l c"]:
    """y_t = bias + Σ_j weight_j x_{t-k+1+j}, every channel by itself; then y silu(y) = y / (1 + exp(-y)) if asked.

    The last of the k taps belongs to the token itself, the first to the oldest one. `history` holds the k - 1 inputs
    before the first, zeros if None: a step is a call with one token and the last k - 1 inputs. A token sees only
    tokens of its own run, that is the number in `runs`; the history belongs to the run of the first token.
    Sums are float32, or float64 if x is; y has the dtype of x. Once differentiable by autograd; the native and triton
    tiers serve torch.func.vmap (one call a slice), not torch.func.grad.

    Raises:
        ValueError: shapes, dtypes or devices that do not fit each other.
    """
    name = "causal_conv"
    check_rank(name, "x", x, 3, "b l c")
    check_rank(name, "weight", weight, 2, "c k")
    batch, length, channels = x.shape
    if weight.shape[1] < 1:
        raise ValueError(f"{name}: weight has shape {tuple(weight.shape)}, expected (c k) with at least one tap.")
    check_shape(name, "weight", weight, (channels, weight.shape[1]), "c k")
    check_shape(name, "bias", bias, (channels,), "c")
    check_shape(name, "history", history, (batch, weight.shape[1] - 1, channels), "b k-1 c")
    check_shape(name, "runs", runs, (batch, length), "b l")
    check_numbers(name, "runs", runs, x)
    check_alike(name, x=x, weight=weight, bias=bias, history=history)
    return OP(x, weight, bias, history, runs, silu)
