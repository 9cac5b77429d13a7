"""One token through a Mamba-2 layer, in one call of the native library."""

import torch
from torch import Tensor

from armillary.core.ops.library import kernel
from armillary.core.ops.streaming import as_plain


def mamba2_step_native(
    u: Tensor,
    window: Tensor | None,
    state: Tensor | None,
    in_proj: Tensor,
    conv_weight: Tensor,
    conv_bias: Tensor,
    dt_bias: Tensor,
    A_log: Tensor,
    D: Tensor,
    norm_weight: Tensor,
    out_proj: Tensor,
    states: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """See `mamba2_step`; it has no gradient, and torch sees none of it."""
    (batch, width), (channels, taps), heads = u.shape, conv_weight.shape, A_log.shape[0]
    inner = norm_weight.shape[0]
    y, next_window, next_state = (
        u.new_empty(shape, dtype=torch.float32)
        for shape in ((batch, width), (batch, taps - 1, channels), (batch, heads, inner // heads, states))
    )
    sizes = (batch, width, heads, inner // heads, states, (channels - inner) // (2 * states), taps)
    inputs = (u, window, state, in_proj, conv_weight, conv_bias, dt_bias, A_log, D, norm_weight, out_proj)
    kernel("mamba2_step_forward")(*map(as_plain, inputs), y, next_window, next_state, *sizes)
    return y.to(u.dtype), next_window.to(u.dtype), next_state
