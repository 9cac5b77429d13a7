"""A convolution over time and its batch norm, channels first; no buffer changes in a forward pass."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class ChannelNorm(nn.Module):
    """(x - mean) / sqrt(variance + eps) of each channel over the batch and its samples, weight and bias.

    While training, the moments of the batch are used and kept aside; `after_step` folds them into the running moments
    that evaluation uses, the variance without bias. With several forward passes between steps the last one counts.
    The channels-first sibling of core.norms.BatchNorm, which takes masks; here torch's fused kernel does the work.

    References:
        Ioffe and Szegedy 2015, "Batch normalization", algorithm 1.
    """

    running_mean: Tensor
    running_variance: Tensor

    def __init__(self, channels: int, *, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_variance", torch.ones(channels))
        self._latest: tuple[Tensor, Tensor] | None = None

    def forward(self, values: Float[Tensor, "b c l"]) -> Float[Tensor, "b c l"]:
        mean, variance, momentum = self.running_mean, self.running_variance, 0.0
        if self.training:
            # Momentum 1 makes the kernel write the batch's own moments, which saves a second pass for them.
            mean, variance, momentum = torch.zeros_like(mean), torch.ones_like(variance), 1.0
            self._latest = mean, variance
        return functional.batch_norm(values, mean, variance, self.weight, self.bias, self.training, momentum, self.eps)

    def after_step(self) -> None:
        """Move the running moments towards those of the latest batch."""
        if self._latest is not None:
            self.running_mean.lerp_(self._latest[0], self.momentum)
            self.running_variance.lerp_(self._latest[1], self.momentum)
            self._latest = None


class ConvNorm(nn.Module):
    """activation(norm(convolution)), l samples to ceil(l / stride); an odd kernel, centred, zeros beyond the ends."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1,
        activation: nn.Module | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        assert kernel % 2, "an even kernel has no centre"
        # No bias: the norm takes the mean away again.
        self.conv = nn.Conv1d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.norm = ChannelNorm(outputs)
        self.activation = activation or nn.Identity()

    def forward(self, values: Float[Tensor, "b c l"]) -> Float[Tensor, "b d m"]:
        return self.activation(self.norm(self.conv(values)))


def fold_norms(network: nn.Module) -> None:
    """Lets every channel norm of a network fold the moments that it kept aside."""
    for module in network.modules():
        if isinstance(module, ChannelNorm):
            module.after_step()
