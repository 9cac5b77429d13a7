"""One token through a Mamba-2 layer, in plain torch."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from armillary.core.ops.mamba_step.portable import convolve_newest, project
from armillary.core.ops.precision import accumulation_dtype


def mamba2_step_portable(
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
    """See `mamba2_step`."""
    (inner, channels), heads = (norm_weight.shape[0], conv_bias.shape[0]), A_log.shape[0]
    z, signal, dt = project(u, in_proj).split([inner, channels, heads], dim=-1)
    signal, window = convolve_newest(signal, window, conv_weight, conv_bias)
    dtype = accumulation_dtype(u)
    x, *rows = signal.to(dtype).split([inner, (channels - inner) // 2, (channels - inner) // 2], dim=-1)
    groups = (channels - inner) // (2 * states)
    # Heads of a group (axes g r) share its rows of B and C.
    x = x.reshape(u.shape[0], groups, heads // groups, inner // heads)
    B, C = (row.reshape(u.shape[0], groups, 1, states) for row in rows)
    dt = functional.softplus(dt.to(dtype) + dt_bias.to(dtype)).reshape(x.shape[:3])
    after = (dt[..., None] * x)[..., None] * B[..., None, :]
    if state is not None:
        kept = torch.exp(-dt * A_log.to(dtype).exp().reshape(x.shape[1:3]))
        after = torch.addcmul(after, kept[..., None, None], state.to(dtype).reshape(after.shape))
    y = torch.matmul(after, C[..., None])[..., 0] + D.to(dtype).reshape(*x.shape[1:3], 1) * x
    gated = y.flatten(1) * functional.silu(z.to(dtype))
    normed = functional.rms_norm(gated, (inner,), norm_weight.to(dtype), eps=1e-5)
    return project(normed.to(u.dtype), out_proj), window, after.flatten(1, 2)
