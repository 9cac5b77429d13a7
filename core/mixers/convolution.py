"""The short causal depthwise convolution in front of a state space."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from armillary.core.mixers.sequences import extend_back, latest


class CausalConv(nn.Module):
    """y_t = bias + Σ_j weight_j x_{t-j}, each channel on its own, masked tokens counting as zero."""

    def __init__(self, channels: int, taps: int) -> None:
        super().__init__()
        bound = taps**-0.5
        self.taps = taps
        self.weight = nn.Parameter(torch.empty(channels, taps).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(channels).uniform_(-bound, bound))

    def forward(
        self,
        values: Float[Tensor, "b l c"],
        mask: Bool[Tensor, "b l"] | None,
        runs: Int[Tensor, "b l"] | None,
        history: Float[Tensor, "b k c"] | None,
    ) -> tuple[Float[Tensor, "b l c"], Float[Tensor, "b k c"]]:
        """The convolution within each run, and the last real inputs, from which it goes on."""
        reach, length = self.taps - 1, values.shape[1]
        values = values if mask is None else values * mask[..., None].to(values.dtype)
        extended = extend_back(values, history, reach)
        places = None if runs is None else functional.pad(runs, (reach, 0))
        total = self.bias.to(values.dtype)
        # Shifted sums are several times faster on a CPU than a depthwise convolution of this width.
        for offset, weight in enumerate(self._weights(values.dtype)):
            shifted = extended[:, offset : offset + length]
            if places is not None and runs is not None:
                shifted = shifted * (places[:, offset : offset + length] == runs)[..., None]
            total = torch.addcmul(total, shifted, weight)
        if places is not None and runs is not None:
            extended = extended * (places == runs[:, -1:])[..., None]
        return total, latest(extended, mask, reach)

    def cost(self, batch: int, length: int) -> float:
        """Multiply-adds [MAC]."""
        return float(batch) * length * self.weight.numel()

    def _weights(self, dtype: torch.dtype) -> tuple[Tensor, ...]:
        return self.weight.to(dtype).unbind(1)
