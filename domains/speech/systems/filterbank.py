"""The learned filterbank: samples to features of short frames, and masked features back to samples."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from armillary.core.convolutions import PointConv
from armillary.domains.speech.lengths import real_places
from armillary.domains.speech.systems.settings import FilterbankSettings


class Filterbank(nn.Module):
    """Convolution of `kernel` samples every `stride` samples, and its transpose, both without bias.

    Frames are cut first and mapped by a matrix: the same sums, with features last, as trunks want them. Step s sees
    samples s * stride to s * stride + kernel - 1; t samples have `steps(t)` steps, the last one padded with zeros, so
    that each sample is seen. Kernels start as torch's own convolutions do.
    """

    def __init__(self, settings: FilterbankSettings) -> None:
        super().__init__()
        self.kernel, self.stride, self.relu = settings.kernel, settings.stride, settings.relu
        self.parts = -(-self.kernel // self.stride)  # strides that a frame reaches over
        self.analysis = PointConv(self.kernel, settings.filters, bias=False)
        self.synthesis = PointConv(settings.filters, self.kernel, bias=False)
        bound = self.kernel**-0.5
        nn.init.uniform_(self.synthesis.weight, -bound, bound)

    @property
    def overlap(self) -> int:
        """Samples after a frame's first stride that it adds to [samples]."""
        return (self.parts - 1) * self.stride

    def steps(self, samples: int) -> int:
        """How many steps see all of so many samples; one at least."""
        return max(-(-(samples - self.kernel) // self.stride), 0) + 1

    def encode(self, samples: Float[Tensor, "b t"]) -> Float[Tensor, "b s n"]:
        """Features of each step."""
        features = self.analysis(self._frames(samples))
        return features.relu() if self.relu else features

    def decode(self, features: Float[Tensor, "b s k n"]) -> Float[Tensor, "b k s w"]:
        """The frames of each voice that masked features stand for."""
        frames = self.synthesis(features.flatten(1, 2))
        return frames.unflatten(1, features.shape[1:3]).transpose(1, 2)

    def add(self, frames: Float[Tensor, "b k s w"]) -> Float[Tensor, "b k t"]:
        """Frames summed where they overlap: s strides, and then what the last frame adds to the next steps."""
        missing = self.parts * self.stride - self.kernel
        blocks = functional.pad(frames, (0, missing)).unflatten(-1, (self.parts, self.stride))
        shifted = [
            functional.pad(blocks[..., part, :], (0, 0, part, self.parts - 1 - part)) for part in range(self.parts)
        ]
        return sum(shifted[1:], shifted[0]).flatten(-2)

    def real_steps(self, length: Int[Tensor, " b"], steps: int) -> Bool[Tensor, "b s"]:
        """Which of the steps an item of this length has when it is alone; none for an item without samples."""
        own = ((length - self.kernel + self.stride - 1) // self.stride).clamp(min=0) + 1
        return real_places(torch.where(length > 0, own, 0), steps)

    def _frames(self, samples: Tensor) -> Tensor:
        steps = self.steps(samples.shape[1])
        missing = (steps + self.parts - 1) * self.stride - samples.shape[1]
        blocks = functional.pad(samples, (0, missing)).unflatten(1, (-1, self.stride))
        parts = [blocks[:, part : part + steps] for part in range(self.parts)]
        return torch.cat(parts, -1)[..., : self.kernel]
