"""The scalar-decay recurrence one token after another: the specification of every faster tier."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def scalar_decay_reference(
    x: Float[Tensor, "b l h p"],
    log_decay: Float[Tensor, "b l h"],
    B: Float[Tensor, "b l g n"],
    C: Float[Tensor, "b l g n"],
    initial_state: Float[Tensor, "b h p n"] | None = None,
    segments: Int[Tensor, "b l"] | None = None,
) -> tuple[Float[Tensor, "b l h p"], Float[Tensor, "b h p n"]]:
    """h_t = exp(g_t) h_{t-1} + x_t ⊗ B_t and y_t = h_t C_t, starting from zero where the segment changes.

    References:
        Dao and Gu 2024, "Transformers are SSMs", eq. 1 with the decay of section 5.
    """
    (batch, length, heads, width), share = x.shape, x.shape[2] // B.shape[2]
    h = x.new_zeros(batch, heads, width, B.shape[-1]) if initial_state is None else initial_state
    outputs = [torch.zeros_like(x[:, :0])]
    for t in range(length):
        input_weight, output_weight = (M[:, t].repeat_interleave(share, dim=1) for M in (B, C))
        if segments is not None and t > 0:
            h = torch.where((segments[:, t] == segments[:, t - 1])[:, None, None, None], h, 0)
        h = log_decay[:, t].exp()[..., None, None] * h + x[:, t, :, :, None] * input_weight[:, :, None]
        outputs.append((h * output_weight[:, :, None]).sum(-1)[:, None])
    return torch.cat(outputs, dim=1), h
