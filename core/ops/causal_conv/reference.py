"""The depth-wise causal convolution one token after another: the specification of every faster tier."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def causal_conv_reference(
    x: Float[Tensor, "b l c"],
    weight: Float[Tensor, "c k"],
    bias: Float[Tensor, " c"] | None,
    history: Float[Tensor, "b m c"] | None,
    runs: Int[Tensor, "b l"] | None,
    silu: bool,
) -> Float[Tensor, "b l c"]:
    """y_t = bias + Σ_j weight_j x_{t-k+1+j} over tokens of the same run."""
    taps, outputs = weight.shape[1], [x[:, :0]]
    before = x.new_zeros(x.shape[0], taps - 1, x.shape[2]) if history is None else history
    extended = torch.cat([before, x], dim=1)
    for t in range(x.shape[1]):
        y = torch.zeros_like(x[:, t]) if bias is None else bias.expand_as(x[:, t])
        for j in range(taps):
            same = 1 if runs is None else (runs[:, max(t + j - taps + 1, 0)] == runs[:, t])[:, None]
            y = y + same * weight[:, j] * extended[:, t + j]
        outputs.append((y / (1 + torch.exp(-y)) if silu else y)[:, None])
    return torch.cat(outputs, dim=1)
