"""One token through a whole Mamba layer."""

from collections.abc import Sequence
from typing import cast

from jaxtyping import Float
from torch import Tensor

from armillary.core.ops.checks import check_rank
from armillary.core.ops.dispatch import Op
from armillary.core.ops.streaming import check_step, fusing_problem

OP = Op(
    "mamba_step",
    reference="armillary.core.ops.mamba_step.reference:mamba_step_reference",
    portable="armillary.core.ops.mamba_step.portable:mamba_step_portable",
    native="armillary.core.ops.mamba_step.native:mamba_step_native",
)


def mamba_step(
    u: Float[Tensor, "b d"],
    window: Float[Tensor, "b k e"] | None,
    state: Float[Tensor, "b e n"] | None,
    in_proj: Float[Tensor, "ee d"],
    conv_weight: Float[Tensor, "e taps"],
    conv_bias: Float[Tensor, " e"],
    x_proj: Float[Tensor, "m e"],
    dt_proj: Float[Tensor, "e r"],
    dt_bias: Float[Tensor, " e"],
    A_log: Float[Tensor, "e n"],
    D: Float[Tensor, " e"],
    out_proj: Float[Tensor, "d e"],
) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b k e"], Float[Tensor, "b e n"]]:
    """One token of each row through a Mamba layer: its output, the window of inputs and the state it leaves.

    `window` holds the last taps - 1 inputs of the convolution, oldest first, and `state` the scan's; None stands for
    zeros. Both are left as they are. Rows of `in_proj` give x and z, of `x_proj` the step size (rank r), B and C;
    decays are -exp(A_log). Window and output have the dtype of u; the state is float32, or float64 if u is.
    The native tier has no gradient: a call that needs one runs in the portable tier.

    Raises:
        ValueError: shapes that do not fit each other, a dtype that is not real, tensors on several devices.

    References:
        Gu and Dao 2023, "Mamba: linear-time sequence modeling with selective state spaces", algorithm 2, figure 3.
    """
    weights = (in_proj, conv_weight, conv_bias, x_proj, dt_proj, dt_bias, A_log, D, out_proj)
    tensors = dict(zip(_NAMES, (u, window, state, *weights), strict=True))
    for name, axes in (("u", "b d"), ("A_log", "e n"), ("conv_weight", "e taps"), ("dt_proj", "e r")):
        check_rank("mamba_step", name, cast(Tensor, tensors[name]), 2, axes)
    check_step("mamba_step", tensors, _expected(u.shape, A_log.shape, conv_weight.shape[1], dt_proj.shape[1]))
    problem = fusing_problem((u, window, state, *weights))
    return OP(u, window, state, *weights, unless={"native": problem} if problem else {})


_NAMES = (
    *("u", "window", "state", "in_proj", "conv_weight", "conv_bias"),
    *("x_proj", "dt_proj", "dt_bias", "A_log", "D", "out_proj"),
)


def _expected(u: Sequence[int], A_log: Sequence[int], taps: int, rank: int) -> dict[str, tuple[str, tuple[int, ...]]]:
    (batch, width), (inner, states) = u, A_log
    return {
        "window": ("b, taps - 1, e", (batch, taps - 1, inner)),
        "state": ("b, e, n", (batch, inner, states)),
        "in_proj": ("2 e, d", (2 * inner, width)),
        "conv_weight": ("e, taps", (inner, taps)),
        "conv_bias": ("e", (inner,)),
        "x_proj": ("r + 2 n, e", (rank + 2 * states, inner)),
        "dt_proj": ("e, r", (inner, rank)),
        "dt_bias": ("e", (inner,)),
        "D": ("e", (inner,)),
        "out_proj": ("d, e", (width, inner)),
    }
