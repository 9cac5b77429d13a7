"""The selective scan one token after another: the specification of every faster tier."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def selective_scan_reference(
    x: Float[Tensor, "b l d"],
    dt: Float[Tensor, "b l d"],
    A: Float[Tensor, "d n"],
    B: Float[Tensor, "b l g n"],
    C: Float[Tensor, "b l g n"],
    D: Float[Tensor, " d"] | None = None,
    z: Float[Tensor, "b l d"] | None = None,
    initial_state: Float[Tensor, "b d n"] | None = None,
) -> tuple[Float[Tensor, "b l d"], Float[Tensor, "b d n"]]:
    """h_t = exp(dt_t A) h_{t-1} + dt_t B_t x_t; y_t = C_t·h_t + D x_t, times silu(z_t), in the inputs' precision.

    References:
        Gu and Dao 2023, "Mamba: linear-time sequence modeling with selective state spaces", algorithm 2.
    """
    share = x.shape[-1] // B.shape[2]
    h = x.new_zeros(x.shape[0], *A.shape) if initial_state is None else initial_state
    outputs = [torch.zeros_like(x[:, :0])]
    for t in range(x.shape[1]):
        input_weight, output_weight = (M[:, t].repeat_interleave(share, dim=1) for M in (B, C))
        h = torch.exp(dt[:, t, :, None] * A) * h + (dt[:, t] * x[:, t])[..., None] * input_weight
        outputs.append((h * output_weight).sum(-1)[:, None])
    y = torch.cat(outputs, dim=1)
    y = y if D is None else y + D * x
    return (y if z is None else y * functional.silu(z)), h
