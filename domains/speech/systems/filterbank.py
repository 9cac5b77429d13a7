"""Filterbanks: samples to features of short frames, and masked features back to samples."""

import math
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from armillary.core.convolutions import PointConv
from armillary.domains.speech.systems.frames import Frames
from armillary.domains.speech.systems.settings import BankSettings, FilterbankSettings, FourierSettings


@runtime_checkable
class Bank(Protocol):
    """A pair of encoder and decoder.

    lead: samples of silence that stand before the first and behind the last one, so that their frames are complete.
    """

    frames: Frames
    lead: int

    def encode(self, samples: Float[Tensor, "b t"]) -> Float[Tensor, "b s n"]:
        """Features of each frame."""
        ...

    def seen(self, features: Float[Tensor, "b s n"]) -> Float[Tensor, "b s m"]:
        """What masks are made from."""
        ...

    def decode(self, masks: Float[Tensor, "b s k m"], features: Float[Tensor, "b s n"]) -> Float[Tensor, "b k s w"]:
        """The frames of each voice that masked features stand for."""
        ...


class Filterbank(nn.Module):
    """Convolution of `kernel` samples every `stride` samples, and its transpose, both learned and without bias.

    Frames are cut first and mapped by a matrix: the same sums, with features last, as trunks want them. Kernels start
    as torch's own convolutions do.
    """

    lead = 0

    def __init__(self, settings: FilterbankSettings) -> None:
        super().__init__()
        self.frames, self.relu = Frames(settings.kernel, settings.stride), settings.relu
        self.analysis = PointConv(settings.kernel, settings.filters, bias=False)
        self.synthesis = PointConv(settings.filters, settings.kernel, bias=False)
        bound = settings.kernel**-0.5
        nn.init.uniform_(self.synthesis.weight, -bound, bound)

    def encode(self, samples: Float[Tensor, "b t"]) -> Float[Tensor, "b s n"]:
        """Features of each step."""
        features = self.analysis(self.frames.cut(samples))
        return features.relu() if self.relu else features

    def seen(self, features: Float[Tensor, "b s n"]) -> Float[Tensor, "b s n"]:
        """The features themselves."""
        return features

    def decode(self, masks: Float[Tensor, "b s k n"], features: Float[Tensor, "b s n"]) -> Float[Tensor, "b k s w"]:
        """The frames of each voice that masked features stand for."""
        frames = self.synthesis((masks * features.unsqueeze(2)).flatten(1, 2))
        return frames.unflatten(1, masks.shape[1:3]).transpose(1, 2)


class FourierBank(nn.Module):
    """Short-time Fourier transform and its inverse by matrices; features are cosine parts, then sine parts.

    Both windows are square roots of Hann windows, so that masks of one give the samples back; at both ends too, since
    silence of a window less a stride stands there.
    """

    analysis: Tensor
    synthesis: Tensor

    def __init__(self, settings: FourierSettings) -> None:
        super().__init__()
        self.frames = Frames(settings.kernel, settings.stride)
        self.lead = settings.kernel - settings.stride
        analysis, synthesis = fourier_pair(settings.kernel, settings.stride)
        self.register_buffer("analysis", analysis, persistent=False)
        self.register_buffer("synthesis", synthesis, persistent=False)

    def encode(self, samples: Float[Tensor, "b t"]) -> Float[Tensor, "b s n"]:
        """Cosine and sine parts of each frame."""
        return self.frames.cut(samples) @ self.analysis

    def seen(self, features: Float[Tensor, "b s n"]) -> Float[Tensor, "b s m"]:
        """log(a + 1e-3) of the amplitudes a; with a root mean square of one, 1e-3 is 60 dB and more below speech."""
        cosine, sine = features.chunk(2, -1)
        return (cosine.square() + sine.square() + 1e-9).sqrt().add(1e-3).log()

    def decode(self, masks: Float[Tensor, "b s k m"], features: Float[Tensor, "b s n"]) -> Float[Tensor, "b k s w"]:
        """The frames of each voice that masked features stand for."""
        masked = masks.repeat(1, 1, 1, 2) * features.unsqueeze(2)
        return (masked @ self.synthesis).transpose(1, 2)


def build_bank(settings: BankSettings) -> Filterbank | FourierBank:
    """The filterbank that the settings describe."""
    return FourierBank(settings) if isinstance(settings, FourierSettings) else Filterbank(settings)


def fourier_pair(kernel: int, stride: int) -> tuple[Float[Tensor, "w n"], Float[Tensor, "n w"]]:
    """Matrices of the windowed transform and back, n = w + 2: both on a signal's frames, added up, give the signal.

    Scaled so that noise of unit power has features of unit power, zero and highest frequency excepted.
    """
    time = torch.arange(kernel, dtype=torch.float64)
    window = torch.sin(math.pi * time / kernel)  # the square root of a periodic Hann window
    angles = 2 * math.pi * time.unsqueeze(1) * torch.arange(kernel // 2 + 1, dtype=torch.float64) / kernel
    waves = torch.cat([angles.cos(), angles.sin()], 1) * window.unsqueeze(1) * (2 / math.sqrt(kernel))
    # Every frequency but the lowest and the highest stands for two of the transform's.
    twice = torch.full((kernel // 2 + 1,), 2.0, dtype=torch.float64)
    twice[0] = twice[-1] = 1.0
    back = (waves * twice.repeat(2)).T * (2 * stride / kernel) / 4
    return waves.float(), back.float()
