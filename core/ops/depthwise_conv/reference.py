"""The depth-wise convolution one token after another: the specification of every faster tier."""

import torch
from jaxtyping import Float
from torch import Tensor


def depthwise_conv_reference(
    x: Float[Tensor, "b l c"], weight: Float[Tensor, "c k"], ahead: int, dilation: int, silu: bool
) -> Float[Tensor, "b l c"]:
    """y_t = Σ_j weight_j f(x_{t + (j - k + 1 + ahead) dilation}), where there is such a token."""
    length, taps = x.shape[1], weight.shape[1]
    met = x / (1 + torch.exp(-x)) if silu else x
    outputs = [x[:, :0]]
    for t in range(length):
        y = torch.zeros_like(x[:, t])
        for j in range(taps):
            source = t + (j - taps + 1 + ahead) * dilation
            if 0 <= source < length:
                y = y + weight[:, j] * met[:, source]
        outputs.append(y[:, None])
    return torch.cat(outputs, dim=1)
