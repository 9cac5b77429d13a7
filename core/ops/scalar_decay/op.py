"""The scalar-decay recurrence: the public call."""

from jaxtyping import Float, Int
from torch import Tensor

from armillary.core.ops.checks import check_alike, check_divides, check_numbers, check_rank, check_shape
from armillary.core.ops.dispatch import Op

_HERE = "armillary.core.ops.scalar_decay"
OP = Op(
    "scalar_decay",
    reference=f"{_HERE}.reference:scalar_decay_reference",
    portable=f"{_HERE}.portable:scalar_decay_portable",
    native=f"{_HERE}.native:scalar_decay_native",
    triton=f"{_HERE}.triton:scalar_decay_triton",
)


def scalar_decay(
    x: Float[Tensor, "b l h p"],
    log_decay: Float[Tensor, "b l h"],
    B: Float[Tensor, "b l g n"],
    C: Float[Tensor, "b l g n"],
    initial_state: Float[Tensor, "b h p n"] | None = None,
    segments: Int[Tensor, "b l"] | None = None,
    *,
    chunk: int | None = None,
) -> tuple[Float[Tensor, "b l h p"], Float[Tensor, "b h p n"]]:
    """h_t = exp(g_t) h_{t-1} + x_t ⊗ B_t; y_t = h_t C_t. Returns y and the last h.

    `log_decay` g is at most zero; zero with x = 0 leaves the state as it is. Mamba-2 is x = dt·u and g = dt·A,
    retention g = log γ. Heads share rows of B and C in g groups of h / g neighbours. Where `segments` changes
    along a row the state starts from zero; `initial_state` belongs to a row's first segment. The state
    is float32, or float64 if x is; y has the dtype of x. Both results carry gradients, once differentiable.
    The native and triton tiers serve torch.func.vmap (one call a slice), not torch.func.grad.
    chunk: tokens in one block of matrix products; speed and memory alone depend on it. None: as suits the device.
    Inputs that are not finite give results that are not; in the portable tier they reach all tokens of their chunk.

    Raises:
        ValueError: shapes, dtypes or devices that do not fit each other, or heads that groups do not divide.

    References:
        Dao and Gu 2024, "Transformers are SSMs", section 6 (block decomposition).
    """
    _check(x, log_decay, B, C, initial_state, segments)
    if chunk is not None and chunk < 1:
        raise ValueError(f"scalar_decay: chunk = {chunk}, expected at least 1, or None for what suits the device.")
    return OP(x, log_decay, B, C, initial_state, segments, chunk=chunk)


def _check(
    x: Tensor, log_decay: Tensor, B: Tensor, C: Tensor, initial_state: Tensor | None, segments: Tensor | None
) -> None:
    name = "scalar_decay"
    check_rank(name, "x", x, 4, "b l h p")
    check_rank(name, "B", B, 4, "b l g n")
    batch, length, heads, width = x.shape
    check_shape(name, "log_decay", log_decay, (batch, length, heads), "b l h")
    check_shape(name, "B", B, (batch, length, *B.shape[2:]), "b l g n")
    check_shape(name, "C", C, B.shape, "b l g n")
    check_shape(name, "initial_state", initial_state, (batch, heads, width, B.shape[3]), "b h p n")
    check_shape(name, "segments", segments, (batch, length), "b l")
    check_numbers(name, "segments", segments, x)
    check_divides(name, "groups g of B", B.shape[2], "heads h of x", heads)
    check_alike(name, x=x, log_decay=log_decay, B=B, C=C, initial_state=initial_state)
