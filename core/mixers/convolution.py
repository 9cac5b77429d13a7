"""The short causal depthwise convolution in front of a state space."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from armillary.core.mixers.sequences import extend_back, latest
from armillary.core.ops.causal_conv import causal_conv, causal_conv_cost


class CausalConv(nn.Module):
    """y_t = bias + Σ_j weight_j x_{t-k+1+j}, each channel on its own, masked tokens counting as zero."""

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
        *,
        silu: bool = False,
    ) -> tuple[Float[Tensor, "b l c"], Float[Tensor, "b k c"]]:
        """The convolution within each run, with a SiLU after it if asked; and the last real inputs, to go on from."""
        values = values if mask is None else values * mask[..., None].to(values.dtype)
        mixed = causal_conv(values, self.weight, self.bias, history, runs, silu=silu)
        return mixed, self._window(values, mask, runs, history)

    def cost(self, batch: int, length: int) -> float:
        """Multiply-adds [MAC]."""
        return causal_conv_cost(batch, length, *self.weight.shape)

    def _window(self, values: Tensor, mask: Tensor | None, runs: Tensor | None, history: Tensor | None) -> Tensor:
        """The last k - 1 real inputs, zero where they belong to another run than the last token."""
        reach, length = self.taps - 1, values.shape[1]
        if mask is None:
            # Only the end matters: the whole would be copied for the sake of a few tokens.
            first = max(length - reach, 0)
            values, runs_here = values[:, first:], None if runs is None else runs[:, first:]
        else:
            runs_here = runs
        extended = extend_back(values, history, reach)
        if runs is not None and runs_here is not None and length:
            # The history belongs to the first run.
            before = runs[:, :1].expand(-1, reach)
            places = torch.cat([before, runs_here], dim=1)
            extended = extended * (places == runs[:, -1:])[..., None]
        return latest(extended, mask, reach)
