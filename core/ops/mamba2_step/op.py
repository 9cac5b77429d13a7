"""One token through a whole Mamba-2 layer."""

from collections.abc import Sequence
from typing import cast

from jaxtyping import Float
from torch import Tensor

from armillary.core.ops.checks import check_divides, check_rank
from armillary.core.ops.dispatch import Op
from armillary.core.ops.streaming import check_step, fusing_problem

OP = Op(
    "mamba2_step",
    reference="armillary.core.ops.mamba2_step.reference:mamba2_step_reference",
    portable="armillary.core.ops.mamba2_step.portable:mamba2_step_portable",
    native="armillary.core.ops.mamba2_step.native:mamba2_step_native",
)


def mamba2_step(
    u: Float[Tensor, "b d"],
    window: Float[Tensor, "b k c"] | None,
    state: Float[Tensor, "b h p n"] | None,
    in_proj: Float[Tensor, "m d"],
    conv_weight: Float[Tensor, "c taps"],
    conv_bias: Float[Tensor, " c"],
    dt_bias: Float[Tensor, " h"],
    A_log: Float[Tensor, " h"],
    D: Float[Tensor, " h"],
    norm_weight: Float[Tensor, " e"],
    out_proj: Float[Tensor, "d e"],
    states: int,
) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b k c"], Float[Tensor, "b h p n"]]:
    """One token of each row through a Mamba-2 layer: its output, the window of inputs and the state it leaves.

    `window` holds the last taps - 1 inputs [x, B, C] of the convolution, oldest first, and `state` the heads'; None
    stands for zeros. Both are left as they are. Rows of `in_proj` give z (e of them), [x, B, C] (c) and the step size
    (h); B and C have (c - e) / (2 n) groups of n = `states` values; decays are -exp(A_log). Window and output have
    the dtype of u; the state is float32, or float64 if u is.
    The native tier has no gradient: a call that needs one runs in the portable tier.

    Raises:
        ValueError: shapes that do not fit each other, a dtype that is not real, tensors on several devices.

    References:
        Dao and Gu 2024, "Transformers are SSMs", eq. 1 with the decay of section 5, in the block of figure 6.
    """
    tensors = dict(
        zip(
            _NAMES,
            (u, window, state, in_proj, conv_weight, conv_bias, dt_bias, A_log, D, norm_weight, out_proj),
            strict=True,
        )
    )
    for name, rank, axes in (("u", 2, "b d"), ("conv_weight", 2, "c taps"), ("A_log", 1, "h"), ("norm_weight", 1, "e")):
        check_rank("mamba2_step", name, cast(Tensor, tensors[name]), rank, axes)
    inner, heads = norm_weight.shape[0], A_log.shape[0]
    check_divides("mamba2_step", "heads", heads, "inner channels", inner)
    check_divides("mamba2_step", "2 * states", 2 * states, "channels of B and C", conv_weight.shape[0] - inner)
    check_divides("mamba2_step", "groups", (conv_weight.shape[0] - inner) // (2 * states), "heads", heads)
    check_step("mamba2_step", tensors, _expected(u.shape, conv_weight.shape, heads, inner, states))
    problem = fusing_problem(tensors.values())
    return OP(*tensors.values(), states, unless={"native": problem} if problem else {})


_NAMES = (
    *("u", "window", "state", "in_proj", "conv_weight", "conv_bias"),
    *("dt_bias", "A_log", "D", "norm_weight", "out_proj"),
)


def _expected(
    u: Sequence[int], conv_weight: Sequence[int], heads: int, inner: int, states: int
) -> dict[str, tuple[str, tuple[int, ...]]]:
    (batch, width), (channels, taps) = u, conv_weight
    return {
        "window": ("b, taps - 1, c", (batch, taps - 1, channels)),
        "state": ("b, h, p, n", (batch, heads, inner // heads, states)),
        "in_proj": ("e + c + h, d", (inner + channels + heads, width)),
        "conv_bias": ("c", (channels,)),
        "dt_bias": ("h", (heads,)),
        "D": ("h", (heads,)),
        "out_proj": ("d, e", (width, inner)),
    }
