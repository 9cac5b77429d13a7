"""Frames of samples that overlap: cut, counted, and added up again."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from armillary.domains.speech.lengths import real_places


class Frames:
    """Frame s holds samples s * stride to s * stride + kernel - 1; the last one is padded with zeros.

    parts: strides that a frame reaches over.
    """

    def __init__(self, kernel: int, stride: int) -> None:
        self.kernel, self.stride = kernel, stride
        self.parts = -(-kernel // stride)

    @property
    def overlap(self) -> int:
        """Samples after a frame's first stride that it adds to [samples]."""
        return (self.parts - 1) * self.stride

    def number(self, samples: int) -> int:
        """How many frames hold all of so many samples; one at least."""
        return max(-(-(samples - self.kernel) // self.stride), 0) + 1

    def real(self, length: Int[Tensor, " b"], number: int) -> Bool[Tensor, "b s"]:
        """Which of the frames an item of this length has when it is alone; none for an item without samples."""
        own = ((length - self.kernel + self.stride - 1) // self.stride).clamp(min=0) + 1
        return real_places(torch.where(length > 0, own, 0), number)

    def cut(self, samples: Float[Tensor, "b t"]) -> Float[Tensor, "b s w"]:
        """The frames of each item."""
        number = self.number(samples.shape[1])
        missing = (number + self.parts - 1) * self.stride - samples.shape[1]
        blocks = functional.pad(samples, (0, missing)).unflatten(1, (-1, self.stride))
        parts = [blocks[:, part : part + number] for part in range(self.parts)]
        return torch.cat(parts, -1)[..., : self.kernel]

    def add(self, frames: Float[Tensor, "b k s w"]) -> Float[Tensor, "b k t"]:
        """Frames summed where they overlap: s strides, and then what the last frame adds to the next ones."""
        missing = self.parts * self.stride - self.kernel
        blocks = functional.pad(frames, (0, missing)).unflatten(-1, (self.parts, self.stride))
        shifted = [
            functional.pad(blocks[..., part, :], (0, 0, part, self.parts - 1 - part)) for part in range(self.parts)
        ]
        return sum(shifted[1:], shifted[0]).flatten(-2)
