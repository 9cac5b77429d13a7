"""A linear map with a short depth-wise convolution behind it, as MossFormer has in place of plain projections."""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from armillary.core.mixers.dropout import Dropout
from armillary.core.mixers.sequences import extend_back, latest
from armillary.core.ops.depthwise_conv import depthwise_conv, depthwise_conv_cost
from armillary.core.ops.products import product


class ConvMap(nn.Module):
    """dropout(y + depthwise(y)) with y = silu(W n(x) + b): n(x) = g x with one learned g, or a layer norm's w x + v.

    What comes in has been normed already, by `unit_rms` or `standardised`; maps of the same tokens share that.
    Masked tokens count as zeros. Causal: the convolution sees earlier tokens only, and `history` holds those before
    the first, as they are in front of the SiLU.

    References:
        Zhao and Ma 2023, "MossFormer: pushing the performance limit of monaural speech separation using gated
        single-head transformer with convolution-augmented joint self-attentions" (convolution module).
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        kernel: int,
        dropout: float,
        causal: bool = False,
        norm: Literal["scale", "layer"] = "scale",
    ) -> None:
        super().__init__()
        self.causal, self.taps = causal, kernel
        self.norm_scale = nn.Parameter(torch.ones(1 if norm == "scale" else inputs))
        self.norm_bias = nn.Parameter(torch.zeros(inputs)) if norm == "layer" else None
        self.linear = nn.Linear(inputs, outputs)
        bound = kernel**-0.5
        self.weight = nn.Parameter(torch.empty(outputs, kernel).uniform_(-bound, bound))
        self.dropout = Dropout(dropout)

    def forward(
        self,
        normed: Float[Tensor, "b l i"],
        mask: Bool[Tensor, "b l"] | None = None,
        history: Float[Tensor, "b k o"] | None = None,
    ) -> tuple[Float[Tensor, "b l o"], Float[Tensor, "b k o"] | None]:
        """The mapped tokens; and causal, the history after the last real one."""
        hidden = self._linear(normed)
        if mask is not None:
            hidden = hidden * mask.unsqueeze(-1).to(hidden.dtype)
        reach = self.taps - 1 if self.causal else self.taps // 2
        if not self.causal:
            return self.dropout(depthwise_conv(hidden, self._taps(reach), silu=True)), None
        extended = extend_back(hidden, history, reach) if history is not None else hidden
        convolved = depthwise_conv(extended, self._taps(reach), ahead=0, silu=True)
        after = latest(_tail(hidden, history, mask, reach), mask, reach)
        return self.dropout(convolved[:, extended.shape[1] - hidden.shape[1] :]), after

    def cost(self, batch: int, length: int) -> float:
        """Multiply-adds [MAC]."""
        outputs = self.weight.shape[0]
        return float(batch) * length * self.linear.weight.numel() + depthwise_conv_cost(
            batch, length, outputs, self.taps
        )

    def _linear(self, normed: Tensor) -> Tensor:
        """W (w x + v) + b as (W w) x + (W v + b): what the norm has learned acts on the matrix, not on every token."""
        weight, bias = self.linear.weight, self.linear.bias
        if self.norm_bias is not None:
            bias = bias + functional.linear(self.norm_bias, weight)
        return product(normed, weight, bias, self.norm_scale)

    def _taps(self, centre: int) -> Tensor:
        """The weights with one more at the token itself: y + depthwise(y) in one pass."""
        return self.weight + functional.pad(self.weight.new_ones(1), (centre, self.taps - 1 - centre))


def _tail(hidden: Tensor, history: Tensor | None, mask: Tensor | None, reach: int) -> Tensor:
    """The tokens among which the last `reach` real ones are, extended back; all of them where there is a mask."""
    if mask is None:
        # Only the end matters: the whole would be copied for the sake of a few tokens.
        hidden = hidden[:, max(hidden.shape[1] - reach, 0) :]
    return extend_back(hidden, history, reach)
