"""One token through a Mamba layer, in one call of the native library."""

import torch
from torch import Tensor

from armillary.core.ops.library import kernel
from armillary.core.ops.streaming import as_plain


def mamba_step_native(
    u: Tensor, window: Tensor | None, state: Tensor | None, *weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """See `mamba_step`; it has no gradient, and torch sees none of it."""
    _, conv_weight, _, _, dt_proj, _, A_log, _, _ = weights
    (batch, width), (inner, states), taps = u.shape, A_log.shape, conv_weight.shape[1]
    y, next_window, next_state = (
        u.new_empty(shape, dtype=torch.float32)
        for shape in ((batch, width), (batch, taps - 1, inner), (batch, inner, states))
    )
    sizes = (batch, width, inner, states, dt_proj.shape[1], taps)
    before = (as_plain(u), as_plain(window), as_plain(state))
    kernel("mamba_step_forward")(*before, *map(as_plain, weights), y, next_window, next_state, *sizes)
    return y.to(u.dtype), next_window.to(u.dtype), next_state
