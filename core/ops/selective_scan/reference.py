"""The selective scan one token after another: the specification of every faster tier."""

import torch
from jaxtyping import Float, Int
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
    path: Int[Tensor, " l"] | None = None,
    reverse: bool = False,
) -> tuple[Float[Tensor, "b l d"], Float[Tensor, "b d n"]]:
    """h_t = exp(dt_t A) h_{t-1} + dt_t B_t x_t; y_t = C_t·h_t + D x_t, times silu(z_t), in the inputs' precision.

    t runs along the path, or along the sequence, and backwards if reverse.

    References:
        Gu and Dao 2023, "Mamba: linear-time sequence modeling with selective state spaces", algorithm 2.
    """
    share = x.shape[-1] // B.shape[2]
    h = x.new_zeros(x.shape[0], *A.shape) if initial_state is None else initial_state
    order = list(range(x.shape[1])) if path is None else path.tolist()
    outputs = list(x.unbind(1))
    for t in reversed(order) if reverse else order:
        input_weight, output_weight = (M[:, t].repeat_interleave(share, dim=1) for M in (B, C))
        h = torch.exp(dt[:, t, :, None] * A) * h + (dt[:, t] * x[:, t])[..., None] * input_weight
        outputs[t] = (h * output_weight).sum(-1)
    y = torch.stack(outputs, dim=1) if outputs else torch.zeros_like(x)
    y = y if D is None else y + D * x
    return (y if z is None else y * functional.silu(z)), h
