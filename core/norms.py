"""Norms over the features of a token, or over tokens. All take (values, mask) and return values."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from armillary.core.config.norms import (
    BatchNormSettings,
    LayerNormSettings,
    NoNormSettings,
    RMSNormSettings,
    ScaleNormSettings,
)

Mask = Bool[Tensor, "b l"] | None  # True for real tokens; None when all are real
Moments = tuple[Float[Tensor, " d"], Float[Tensor, " d"]]


class LayerNorm(nn.Module):
    """(x - mean) / sqrt(variance + eps) over the features, times a weight, plus a bias.

    References:
        Ba et al. 2016, "Layer normalization", eq. 4.
    """

    def __init__(self, width: int, settings: LayerNormSettings) -> None:
        super().__init__()
        self.eps = settings.eps
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width)) if settings.bias else None

    def forward(self, values: Float[Tensor, "*b d"], mask: Mask = None) -> Float[Tensor, "*b d"]:
        return functional.layer_norm(values, self.weight.shape, self.weight, self.bias, self.eps)


class RMSNorm(nn.Module):
    """x / sqrt(mean x^2 + eps) over the features, times a weight.

    References:
        Zhang and Sennrich 2019, "Root mean square layer normalization", eq. 4.
    """

    def __init__(self, width: int, settings: RMSNormSettings) -> None:
        super().__init__()
        self.eps = settings.eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, values: Float[Tensor, "*b d"], mask: Mask = None) -> Float[Tensor, "*b d"]:
        return functional.rms_norm(values, self.weight.shape, self.weight, self.eps)


class ScaleNorm(nn.Module):
    """g x / max(|x|, eps) with one learned g, sqrt(d) at first, so that it starts as an RMS norm.

    References:
        Nguyen and Salazar 2019, "Transformers without tears", section 2.2.
    """

    def __init__(self, width: int, settings: ScaleNormSettings) -> None:
        super().__init__()
        self.eps = settings.eps
        self.scale = nn.Parameter(torch.full((1,), width**0.5))

    def forward(self, values: Float[Tensor, "*b d"], mask: Mask = None) -> Float[Tensor, "*b d"]:
        return self.scale * functional.normalize(values, dim=-1, eps=self.eps)


class BatchNorm(nn.Module):
    """(x - mean) / sqrt(variance + eps) of each feature over the real tokens of the batch, weight and bias.

    While training, the moments of the batch are used and kept aside; `after_step` folds them into the running
    moments that evaluation uses. So a forward pass changes no buffer, and recomputing it for a checkpoint neither.
    With several forward passes between steps the last one counts. Without a real token the running moments are used.

    References:
        Ioffe and Szegedy 2015, "Batch normalization", algorithm 1.
    """

    running_mean: Tensor
    running_variance: Tensor

    def __init__(self, width: int, settings: BatchNormSettings) -> None:
        super().__init__()
        self.eps, self.momentum = settings.eps, settings.momentum
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_variance", torch.ones(width))
        self._latest: Moments | None = None

    def forward(self, values: Float[Tensor, "b l d"], mask: Mask = None) -> Float[Tensor, "b l d"]:
        if values.numel() == 0 or (self.training and mask is not None):
            return self._by_parts(values, mask)
        # Torch's kernels take one pass where the formula takes nine; that for training tells the moments it used.
        rows, mean, variance = values.flatten(0, 1), self.running_mean, self.running_variance
        if not self.training:
            normalized = functional.batch_norm(rows, mean, variance, self.weight, self.bias, eps=self.eps)
            return normalized.view_as(values)
        normalized, mean, scale = torch.native_batch_norm(rows, self.weight, self.bias, None, None, True, 0.0, self.eps)
        self._latest = mean.detach(), (scale.detach() ** -2 - self.eps).clamp(min=0)
        return normalized.view_as(values)

    def after_step(self) -> None:
        """Move the running moments towards those of the latest batch."""
        if self._latest is not None:
            self.running_mean.lerp_(self._latest[0], self.momentum)
            self.running_variance.lerp_(self._latest[1], self.momentum)
            self._latest = None

    def _by_parts(self, values: Tensor, mask: Tensor | None) -> Tensor:
        """The formula, over real tokens only."""
        mean, variance = self.running_mean, self.running_variance
        if self.training:
            mean, variance = self._batch_moments(values, mask)
            self._latest = mean.detach(), variance.detach()
        normalized = (values - mean) * (variance + self.eps).rsqrt()
        return (normalized * self.weight + self.bias).to(values.dtype)

    def _batch_moments(self, values: Tensor, mask: Tensor | None) -> Moments:
        values = values.to(self.running_mean.dtype)
        weight = values.new_ones(values.shape[:2]) if mask is None else mask.to(values.dtype)
        total, weight = weight.sum(), weight.unsqueeze(-1)
        count = total.clamp(min=1)
        mean = (values * weight).sum((0, 1)) / count
        variance = ((values - mean).square() * weight).sum((0, 1)) / count
        empty = total == 0
        return mean.where(~empty, self.running_mean), variance.where(~empty, self.running_variance)


class NoNorm(nn.Module):
    """The values as they are."""

    def __init__(self, width: int, settings: NoNormSettings) -> None:
        super().__init__()

    def forward(self, values: Float[Tensor, "*b d"], mask: Mask = None) -> Float[Tensor, "*b d"]:
        return values
