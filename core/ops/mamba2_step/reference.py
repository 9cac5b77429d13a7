"""One token through a Mamba-2 layer, line by line: the specification of every faster tier."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def mamba2_step_reference(
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
    """The layer's output for one token, the window of inputs and the state it leaves, in the inputs' precision.

    References:
        Dao and Gu 2024, "Transformers are SSMs", eq. 1 with the decay of section 5, in the block of figure 6.
    """
    (inner, channels), heads = (norm_weight.shape[0], conv_bias.shape[0]), A_log.shape[0]
    z, x, dt = (u @ in_proj.T).split([inner, channels, heads], dim=-1)
    before = x.new_zeros(x.shape[0], conv_weight.shape[1] - 1, channels) if window is None else window
    inputs = torch.cat([before, x[:, None]], dim=1)
    x = functional.silu((inputs * conv_weight.T).sum(1) + conv_bias)
    x, *rows = x.split([inner, (channels - inner) // 2, (channels - inner) // 2], dim=-1)
    x, groups = x.unflatten(-1, (heads, -1)), (channels - inner) // (2 * states)
    B, C = (row.unflatten(-1, (groups, states)).repeat_interleave(heads // groups, dim=1) for row in rows)
    dt = functional.softplus(dt + dt_bias)
    h = (dt[..., None] * x)[..., None] * B[:, :, None]
    if state is not None:
        h = h + torch.exp(-dt * A_log.exp())[..., None, None] * state
    y = (h * C[:, :, None]).sum(-1) + D[:, None] * x
    y = y.flatten(1) * functional.silu(z)
    y = y / (y.square().mean(-1, keepdim=True) + 1e-5).sqrt() * norm_weight
    return y @ out_proj.T, inputs[:, 1:], h
