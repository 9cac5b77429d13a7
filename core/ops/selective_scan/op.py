"""The public call of the selective scan."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from armillary.core.ops.checks import check_alike, check_divides, check_rank, check_shape
from armillary.core.ops.dispatch import Op, Tier

NAME = "selective_scan"
MOST_STATES = 64  # of the fused tiers, which keep those of a channel in registers or the nearest cache
OP = Op(
    NAME,
    reference="armillary.core.ops.selective_scan.reference:selective_scan_reference",
    portable="armillary.core.ops.selective_scan.portable:selective_scan_portable",
    native="armillary.core.ops.selective_scan.native:selective_scan_native",
    triton="armillary.core.ops.selective_scan.triton:selective_scan_triton",
)


def selective_scan(
    x: Float[Tensor, "b l d"],
    dt: Float[Tensor, "b l d"],
    A: Float[Tensor, "d n"],
    B: Float[Tensor, "b l g n"],
    C: Float[Tensor, "b l g n"],
    D: Float[Tensor, " d"] | None = None,
    z: Float[Tensor, "b l d"] | None = None,
    initial_state: Float[Tensor, "b d n"] | None = None,
    path: Int[Tensor, " l"] | None = None,
    *,
    reverse: bool = False,
    chunk: int | None = None,
) -> tuple[Float[Tensor, "b l d"], Float[Tensor, "b d n"]]:
    """h_t = exp(dt_t A) h_{t-1} + dt_t B_t x_t; y_t = C_t·h_t + D x_t, times silu(z_t). Returns y and the last h.

    `dt` is the positive step size; a step of zero leaves the state as it is. `A` is negative. Channels
    share rows of B and C in g groups of d / g neighbours. Input B is discretised to first order, dt·B.
    `path` is the order in which the tokens are visited, a permutation of 0..l-1; `reverse` visits them backwards. y
    comes back in the tokens' own places, so `grid_paths` scans a grid in place along any axis; the last h is that
    after the token visited last. A path on a GPU is taken as it is: one that is no permutation is undefined there.
    The state is float32, or float64 if x is; y has the dtype of x. Both results carry gradients, once
    differentiable. Memory: the state is kept once every `chunk` steps and recomputed in between; None: what suits
    the tier. Inputs that are not finite give results that are not. Works under autocast, torch.compile and
    torch.func.vmap (one call a slice), not under torch.func.grad: use autograd.

    Raises:
        ValueError: shapes that do not fit each other, groups that do not divide the channels, a dtype that is not
            real, tensors on several devices, a path that is no permutation, a chunk below 1.

    References:
        Gu and Dao 2023, "Mamba: linear-time sequence modeling with selective state spaces", algorithm 2.
    """
    check_alike(NAME, x=x, dt=dt, A=A, B=B, C=C, D=D, z=z, initial_state=initial_state)
    _check_shapes(x, dt, A, B, C, D, z, initial_state)
    _check_path(path, x)
    if chunk is not None and chunk < 1:
        raise ValueError(f"{NAME}: chunk = {chunk}, expected at least 1 step between stored states, or None.")
    return OP(x, dt, A, B, C, D, z, initial_state, path, reverse, unless=_unserved(A.shape[1]), chunk=chunk)


def _unserved(states: int) -> dict[Tier, str]:
    """The tiers that cannot serve this many states, each with the reason."""
    if states <= MOST_STATES:
        return {}
    reason = f"it holds at most {MOST_STATES} states a channel, and A has {states}"
    return {"native": reason, "triton": reason}


def _check_shapes(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    initial_state: Tensor | None,
) -> None:
    check_rank(NAME, "x", x, 3, "b l d")
    check_rank(NAME, "A", A, 2, "d n")
    check_rank(NAME, "B", B, 4, "b l g n")
    batch, length, width = x.shape
    states, groups = A.shape[1], B.shape[2]
    if states < 1:
        raise ValueError(f"{NAME}: A has shape {tuple(A.shape)}, expected at least one state a channel.")
    check_shape(NAME, "dt", dt, (batch, length, width), "b l d")
    check_shape(NAME, "A", A, (width, states), "d n")
    check_shape(NAME, "B", B, (batch, length, groups, states), "b l g n")
    check_shape(NAME, "C", C, (batch, length, groups, states), "b l g n")
    check_shape(NAME, "D", D, (width,), "d")
    check_shape(NAME, "z", z, (batch, length, width), "b l d")
    check_shape(NAME, "initial_state", initial_state, (batch, width, states), "b d n")
    check_divides(NAME, "groups g", groups, "channels d", width)


def _check_path(path: Tensor | None, x: Tensor) -> None:
    if path is None:
        return
    length = x.shape[1]
    check_shape(NAME, "path", path, (length,), "l")
    if path.dtype not in (torch.int64, torch.int32):
        raise ValueError(f"{NAME}: path has dtype {path.dtype}, expected int64 or int32.")
    if path.device != x.device:
        raise ValueError(f"{NAME}: path lies on {path.device}, expected {x.device}, where x lies; move one of them.")
    # Values can be read neither of a traced tensor nor, without waiting for the device, on a GPU.
    traced = torch.compiler.is_compiling() or type(path) is not Tensor
    if path.device.type == "cpu" and not traced and not _visits_all(path):
        raise ValueError(
            f"{NAME}: path is no permutation of 0..{length - 1}; every token must be visited exactly once."
        )


def _visits_all(path: Tensor) -> bool:
    """Whether the path is a permutation."""
    if not len(path):
        return True
    low, high = path.aminmax()
    return bool(low >= 0) and bool(high < len(path)) and bool((torch.bincount(path, minlength=len(path)) == 1).all())
