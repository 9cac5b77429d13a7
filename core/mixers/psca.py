"""Parallel spatial-channel attention: attention over the tokens beside a gate of the channels."""

from contextlib import nullcontext

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from armillary.core.config.mixers import PSCASettings
from armillary.core.config.norms import BatchNormSettings
from armillary.core.convolutions import PointConv, ShortConv, owned, point_conv
from armillary.core.errors import ConfigError
from armillary.core.mixers.protocol import Capabilities
from armillary.core.mixers.sequences import refuse_unsupported
from armillary.core.norms import BatchNorm
from armillary.core.tokens import Grid, Tokens

_EPS = 1e-5  # under the root of the channels' standard deviation, whose slope at zero is infinite


class PSCA(nn.Module):
    """y = a out(attention(q, k, v)) + c point(x * gate(x)), with learned scalars a and c that are one at first.

    q, k and v are depth-wise convolutions with a batch norm and a point-wise map behind each; those of k and v have a
    `stride`, so there are fewer keys than queries. The gate is of the channels, from their moments over the tokens.
    Batch norms count real tokens only; their running moments move in the trunk's `after_step`. A key is real if it
    owns a real token. The row of tokens is taken as a sequence; order is told by the convolutions alone.

    References:
        Hou et al. 2024, "ClST: a convolutional transformer framework for automatic modulation recognition by knowledge
        distillation", abstract; sizes and the order inside are ours.
        Wu et al. 2021, "CvT: introducing convolutions to vision transformers", section 3.2 (convolutional projection).
    """

    def __init__(self, width: int, settings: PSCASettings) -> None:
        super().__init__()
        if width % settings.heads:
            raise ConfigError(
                f"psca at width {width} cannot have {settings.heads} heads of equal width.\n"
                "  Choose heads that divide the width."
            )
        self.width, self.settings = width, settings
        self.query = ConvProjection(width, settings.kernel, 1)
        self.key = ConvProjection(width, settings.kernel, settings.stride)
        self.value = ConvProjection(width, settings.kernel, settings.stride)
        self.out = PointConv(width, width)
        self.gate = ChannelGate(width, settings.ratio)
        self.point = PointConv(width, width, bias=False)
        self.scales = nn.Parameter(torch.ones(2))
        self.capabilities = Capabilities(causal=False, streaming=False, cost_order="l^2")

    def forward(
        self, tokens: Tokens, state: None = None, context: Tokens | None = None
    ) -> tuple[Float[Tensor, "b l d"], None]:
        refuse_unsupported("psca", self.capabilities, tokens, state, context)
        values, mask = tokens.values, tokens.mask
        attended = self._attend(values, mask)
        gated = values * self.gate(values, mask)
        # The branches' scales act on the small matrices instead of on every token.
        spatial, channel = self.scales
        mixed = point_conv(attended, self.out.weight * spatial, self.out.bias * spatial)
        mixed = mixed + point_conv(gated, self.point.weight * channel, None)
        return mixed.to(values.dtype), None

    def step(self, tokens: Tokens, state: None) -> tuple[Float[Tensor, "b l d"], None]:
        return self(tokens, state)

    def cost(self, batch: int, length: int, grid: Grid | None = None) -> float:
        """Multiply-adds [MAC]: projections, scores and weighted sum, gate, and the maps behind both branches."""
        keys = -(-length // self.settings.stride)
        projections = sum(part.cost(batch, length) for part in (self.query, self.key, self.value))
        pairs = 2.0 * batch * length * keys * self.width
        return projections + pairs + self.gate.cost(batch, length) + 2.0 * batch * length * self.width**2

    def _attend(self, values: Float[Tensor, "b l d"], mask: Bool[Tensor, "b l"] | None) -> Float[Tensor, "b l d"]:
        queries = self._heads(self.query(values, mask))
        keys, memory = self._heads(self.key(values, mask)), self._heads(self.value(values, mask))
        # On a CPU the half-precision kernel's backward pass takes four times as long as the one in single precision.
        slow = queries.device.type == "cpu" and queries.dtype in (torch.bfloat16, torch.float16)
        dtype = queries.dtype
        if slow:
            queries, keys, memory = queries.float(), keys.float(), memory.float()
        with torch.autocast("cpu", enabled=False) if slow else nullcontext():
            mixed = functional.scaled_dot_product_attention(queries, keys, memory, attn_mask=self._visible(mask))
        return mixed.to(dtype).transpose(1, 2).flatten(2)

    def _visible(self, mask: Bool[Tensor, "b l"] | None) -> Bool[Tensor, "b 1 1 k"] | None:
        """Real keys; all of them in a row that has none, since a softmax over nothing is NaN."""
        real = owned(mask, self.settings.stride)
        return None if real is None else (real | ~real.any(1, keepdim=True))[:, None, None]

    def _heads(self, projected: Float[Tensor, "b l d"]) -> Float[Tensor, "b h l e"]:
        sizes = (self.settings.heads, self.width // self.settings.heads)
        return torch.unflatten(projected, -1, sizes).transpose(1, 2)


class ConvProjection(nn.Module):
    """pointwise(norm(depthwise(x))): a projection to queries, keys or values that sees the neighbours of a token."""

    def __init__(self, width: int, kernel: int, stride: int) -> None:
        super().__init__()
        # No biases: the norm takes the mean away again, and its own bias passes through the map.
        self.depthwise = ShortConv(width, width, kernel, stride=stride, depthwise=True, bias=False)
        self.norm = BatchNorm(width, BatchNormSettings())
        self.pointwise = PointConv(width, width, bias=False)

    def forward(self, values: Float[Tensor, "b l d"], mask: Bool[Tensor, "b l"] | None) -> Float[Tensor, "b m d"]:
        convolved = self.depthwise(values, mask)
        return self.pointwise(self.norm(convolved, owned(mask, self.depthwise.step)))

    def cost(self, batch: int, length: int) -> float:
        """Multiply-adds [MAC]."""
        outputs = -(-length // self.depthwise.step)
        return self.depthwise.work(batch, length) + float(batch) * outputs * self.pointwise.weight.numel()


class ChannelGate(nn.Module):
    """sigmoid(W2 relu(W1 [mean; std] + b1) + b2) of each channel, moments over the real tokens of a row.

    References:
        Hu et al. 2018, "Squeeze-and-excitation networks", eq. 3, there with the mean alone.
    """

    def __init__(self, width: int, ratio: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(2 * width, max(1, width // ratio))
        self.excite = nn.Linear(self.squeeze.out_features, width)

    def forward(self, values: Float[Tensor, "b l d"], mask: Bool[Tensor, "b l"] | None) -> Float[Tensor, "b 1 d"]:
        mean, variance = token_moments(values, mask)
        moments = torch.cat([mean, (variance + _EPS).sqrt()], dim=-1).to(values.dtype)
        return self.excite(self.squeeze(moments).relu()).sigmoid().unsqueeze(1)

    def cost(self, batch: int, length: int) -> float:
        """Multiply-adds [MAC]: once a row, so that its share of a long row is small."""
        return float(batch) * (self.squeeze.weight.numel() + self.excite.weight.numel())


def token_moments(
    values: Float[Tensor, "b l d"], mask: Bool[Tensor, "b l"] | None
) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b d"]]:
    """Mean and variance of each channel over the real tokens of a row; zeros where there is none."""
    values = values.to(torch.promote_types(values.dtype, torch.float32))
    if mask is None:
        count = max(values.shape[1], 1)
        mean = values.sum(1) / count
        return mean, (values - mean.unsqueeze(1)).square().sum(1) / count
    weight = mask.unsqueeze(-1).to(values.dtype)
    count = weight.sum(1).clamp(min=1)
    mean = (values * weight).sum(1) / count
    return mean, ((values - mean.unsqueeze(1)) * weight).square().sum(1) / count
