"""Short convolutions over rows of tokens, channels last, on the kernels that are fast for such rows."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

# On a CPU a convolution along two axes, channels last, runs on oneDNN: ten times as fast as one along a single axis,
# and on processors that MKL does not favour twice as fast as a matrix product. Double precision has no such kernel.
_FAST = (torch.float32, torch.bfloat16)


class PointConv(nn.Linear):
    """y = x W^T + b at each token by itself: a linear map, as a convolution of one tap where that is faster."""

    def forward(self, input: Float[Tensor, "b l d"]) -> Float[Tensor, "b l e"]:
        return point_conv(input, self.weight, self.bias)


def point_conv(
    values: Float[Tensor, "b l d"], weight: Float[Tensor, "e d"], bias: Float[Tensor, " e"] | None
) -> Float[Tensor, "b l e"]:
    """x W^T + b at each token."""
    if values.device.type != "cpu" or values.dtype not in _FAST or values.numel() == 0:
        return functional.linear(values, weight, bias)
    return _from_image(functional.conv2d(_to_image(values), weight[:, :, None, None], bias))


class ShortConv(nn.Conv1d):
    """y_i = b + Σ_j W_j x_{si+j}, j from -reach to reach: ceil(l / s) tokens of l, with an odd `kernel`.

    Token i of the output stands at token si of the input and owns it and the s - 1 tokens after it. Masked tokens and
    those beyond the ends count as zeros; with `wrap` the row is a period, and what lies beyond an end is the other end.
    Depth-wise, each channel is convolved by itself. Weights start as torch's own convolutions do.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, depthwise: bool = False, bias: bool = True
    ) -> None:
        assert kernel % 2, "an even kernel has no centre"
        assert not depthwise or inputs == outputs, "each channel by itself gives as many channels"
        super().__init__(inputs, outputs, kernel, stride, groups=inputs if depthwise else 1, bias=bias)
        self.reach, self.step = kernel // 2, stride

    def forward(
        self, input: Float[Tensor, "b l c"], mask: Bool[Tensor, "b l"] | None = None, wrap: bool = False
    ) -> Float[Tensor, "b m e"]:
        if input.numel() == 0:
            return self.same(input[:, :: self.step])
        values = input if mask is None else input * mask.unsqueeze(-1).to(input.dtype)
        reach = 0 if wrap else self.reach
        if wrap:
            length = values.shape[1]
            around = torch.arange(-self.reach, length + self.reach, device=values.device) % length
            values = values.index_select(1, around)
        return _from_image(
            functional.conv2d(
                _to_image(values),
                self.weight.unsqueeze(2),
                self.bias,
                stride=(1, self.step),
                padding=(0, reach),
                groups=self.groups,
            )
        )

    def same(self, values: Float[Tensor, "b l c"]) -> Float[Tensor, "b l e"]:
        """What a token gives among copies of itself."""
        taps = self.weight.sum(-1)
        if self.groups == 1:
            return functional.linear(values, taps, self.bias)
        mapped = values * taps.squeeze(1)
        return mapped if self.bias is None else mapped + self.bias

    def work(self, batch: int, length: int) -> float:
        """Multiply-adds [MAC] on `batch` rows of `length` tokens that go in."""
        return float(batch) * -(-length // self.step) * self.weight.numel()


def owned(mask: Bool[Tensor, "b l"] | None, stride: int) -> Bool[Tensor, "b m"] | None:
    """Which of ceil(l / stride) tokens are real: those that own any real one of `stride` tokens."""
    if mask is None or stride == 1:
        return mask
    return functional.pad(mask, (0, -mask.shape[1] % stride)).unflatten(1, (-1, stride)).any(-1)


def _to_image(values: Float[Tensor, "b l c"]) -> Float[Tensor, "b c 1 l"]:
    """The row as an image of one line, channels last in memory."""
    return values.unsqueeze(1).movedim(-1, 1)


def _from_image(image: Float[Tensor, "b c 1 l"]) -> Float[Tensor, "b l c"]:
    return image.squeeze(2).mT
