"""Conv-TasNet's masks: dilated depth-wise convolutions with residual and skip paths. The classical peer."""

from typing import Any, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from armillary.domains.speech.systems.norms import EPS, standardized
from armillary.domains.speech.systems.settings import ConvTasNetSettings, StepNorm


class ConvTasNet(nn.Module):
    """mask = sigmoid(conv(prelu(Σ skips))), the skips from repeats of blocks with dilations 1, 2, 4, ...

    Rows are channels first inside, for which torch's convolutions along time are made. With norm="step" convolutions
    see earlier steps only, and each step is normed by itself where the paper's causal form takes cumulative moments:
    those would never forget what an hours-long stream began with.

    References:
        Luo and Mesgarani 2019, "Conv-TasNet: surpassing ideal time-frequency magnitude masking for speech separation",
        section II, in its best form: linear encoder, sigmoid masks, skip paths.
    """

    def __init__(self, settings: ConvTasNetSettings, voices: int) -> None:
        super().__init__()
        filters, bottleneck = settings.filterbank.filters, settings.bottleneck
        self.voices, self.causal = voices, settings.causal
        self.norm = RowNorm(filters, settings.norm)
        self.bottleneck = nn.Conv1d(filters, bottleneck, 1)
        dilations = [2**block for _ in range(settings.repeats) for block in range(settings.blocks)]
        # Nothing follows the last block's residual path.
        self.blocks = nn.ModuleList(
            Block(settings, dilation, last=index == len(dilations) - 1) for index, dilation in enumerate(dilations)
        )
        self.slope = nn.PReLU()
        self.masks = nn.Conv1d(settings.skip, voices * filters, 1)

    def body(
        self, features: Float[Tensor, "b s n"], mask: Bool[Tensor, "b s"] | None, state: Any
    ) -> tuple[Float[Tensor, "b s c"], Any]:
        """The summed skip paths, and the last inputs of every convolution to go on from."""
        values, skips, after = self.bottleneck(self.norm(features.mT.contiguous(), mask)), None, list[Any]()
        histories = [None] * len(self.blocks) if state is None else state
        for block, history in zip(self.blocks, histories, strict=True):
            values, skip, latest = block(values, mask, history)
            skips = skip if skips is None else skips + skip
            after.append(latest)
        return cast(Tensor, skips).mT, after if self.causal else None

    def head(self, hidden: Float[Tensor, "b s c"]) -> Float[Tensor, "b s k n"]:
        """The masks of each step."""
        masks = self.masks(self.slope(hidden.mT)).sigmoid()
        return masks.mT.unflatten(-1, (self.voices, -1))


class Block(nn.Module):
    """To hidden features, a dilated depth-wise convolution, and from there to the residual and the skip path."""

    def __init__(self, settings: ConvTasNetSettings, dilation: int, last: bool) -> None:
        super().__init__()
        hidden, bottleneck = settings.hidden, settings.bottleneck
        self.causal, self.reach = settings.causal, (settings.kernel - 1) * dilation
        self.widen = nn.Conv1d(bottleneck, hidden, 1)
        self.slope_in, self.norm_in = nn.PReLU(), RowNorm(hidden, settings.norm)
        self.depthwise = nn.Conv1d(hidden, hidden, settings.kernel, dilation=dilation, groups=hidden)
        self.slope_out, self.norm_out = nn.PReLU(), RowNorm(hidden, settings.norm)
        self.residual = None if last else nn.Conv1d(hidden, bottleneck, 1)
        self.skip = nn.Conv1d(hidden, settings.skip, 1)

    def forward(
        self, values: Float[Tensor, "b c s"], mask: Bool[Tensor, "b s"] | None, history: Float[Tensor, "b h r"] | None
    ) -> tuple[Float[Tensor, "b c s"], Float[Tensor, "b e s"], Float[Tensor, "b h r"] | None]:
        """Values for the next block, the skip path, and the convolution's last inputs where it is causal."""
        hidden = self.norm_in(self.slope_in(self.widen(values)), mask)
        if mask is not None:
            hidden = hidden * mask.unsqueeze(1).to(hidden.dtype)
        hidden = self._extended(hidden, history)
        latest = hidden[..., hidden.shape[-1] - self.reach :] if self.causal else None
        hidden = self.norm_out(self.slope_out(self.depthwise(hidden)), mask)
        return values if self.residual is None else values + self.residual(hidden), self.skip(hidden), latest

    def _extended(self, hidden: Tensor, history: Tensor | None) -> Tensor:
        """With what the convolution sees beyond the ends: zeros, or what came before."""
        if not self.causal:
            return functional.pad(hidden, (self.reach // 2, self.reach - self.reach // 2))
        return functional.pad(hidden, (self.reach, 0)) if history is None else torch.cat([history, hidden], -1)


class RowNorm(nn.Module):
    """(x - mean) / sqrt(variance + 1e-8) over all real steps and channels, or over the channels of each step.

    References:
        Luo and Mesgarani 2019, "Conv-TasNet" (global layer normalization).
    """

    def __init__(self, width: int, kind: StepNorm) -> None:
        super().__init__()
        self.kind = kind
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(
        self, values: Float[Tensor, "b c s"], mask: Bool[Tensor, "b s"] | None = None
    ) -> Float[Tensor, "b c s"]:
        if self.kind == "step":
            return functional.layer_norm(values.mT, self.weight.shape, self.weight, self.bias, EPS).mT
        if mask is None:
            return functional.group_norm(values, 1, self.weight, self.bias, EPS)
        return standardized(values, mask.unsqueeze(1)) * self.weight.unsqueeze(-1) + self.bias.unsqueeze(-1)
