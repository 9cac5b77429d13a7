"""One token through a Mamba layer, line by line: the specification of every faster tier."""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def mamba_step_reference(
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
    """The layer's output for one token, the window of inputs and the state it leaves, in the inputs' precision.

    References:
        Gu and Dao 2023, "Mamba: linear-time sequence modeling with selective state spaces", algorithm 2, figure 3.
    """
    states, rank, reach = A_log.shape[1], dt_proj.shape[1], conv_weight.shape[1] - 1
    x, z = (u @ in_proj.T).chunk(2, dim=-1)
    inputs = u.new_zeros(u.shape[0], reach + 1, x.shape[1])
    inputs[:, -1] = x
    if window is not None:
        inputs[:, :-1] = window
    x = functional.silu((inputs * conv_weight.T).sum(1) + conv_bias)
    low, B, C = (x @ x_proj.T).split([rank, states, states], dim=-1)
    dt = functional.softplus(low @ dt_proj.T + dt_bias)
    h = (dt * x)[..., None] * B[:, None]
    if state is not None:
        h = h + (-dt[..., None] * A_log.exp()).exp() * state
    y = (h * C[:, None]).sum(-1) + D * x
    return (y * functional.silu(z)) @ out_proj.T, inputs[:, 1:], h
