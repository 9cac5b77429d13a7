"""The frame of every network here: a filterbank, a mask for each voice, and streaming where the masks are causal."""

from typing import Any, NamedTuple, Protocol, cast, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from armillary.core.errors import ConfigError
from armillary.domains.speech.lengths import real_places
from armillary.domains.speech.systems.filterbank import Bank

_AT_ONCE = 512  # steps whose masks are made at once where nothing is kept for a backward pass: they stay in the cache


@runtime_checkable
class Masker(Protocol):
    """A module that makes masks from features.

    `body` moves information between steps, `head` acts on each step by itself.

    causal: no step sees a later one; then body goes on from the state that it gave, else it gives None.
    """

    causal: bool

    def body(
        self, features: Float[Tensor, "b s n"], mask: Bool[Tensor, "b s"] | None, state: Any
    ) -> tuple[Float[Tensor, "b s d"], Any]: ...

    def head(self, hidden: Float[Tensor, "b s d"]) -> Float[Tensor, "b s k n"]: ...


class StreamState(NamedTuple):
    """What a network keeps between pieces of a stream.

    samples: those that no step has begun at, to be given out next; tail: what passed frames add to them.
    """

    samples: Float[Tensor, "b m"]
    tail: Float[Tensor, "b k o"]
    steps: int
    masker: Any


class MaskingNetwork(nn.Module):
    """estimates = decoder(mask_k(encoder(mixture)) · encoder(mixture)), cut to the mixture's length, for each voice k.

    gain: by which each voice is multiplied, one at first: a loss that does not see scale leaves it to calibration.
    A padded item gives what it gives alone, and zeros beyond its length.
    """

    gain: Tensor

    def __init__(self, filterbank: nn.Module, masker: nn.Module, voices: int) -> None:
        super().__init__()
        self.filterbank, self.masker, self.voices = filterbank, masker, voices
        self.register_buffer("gain", torch.ones(voices))

    @property
    def causal(self) -> bool:
        """Whether no estimate depends on samples more than `latency` after it."""
        return self._masks.causal

    @property
    def latency(self) -> int:
        """Samples that have to come after one before its estimate is given out, at most [samples].

        A step needs all of its frame, and the sample that it begins with waits longest: kernel - 1. The masks add none.
        """
        return self._bank.frames.kernel - 1

    def forward(self, mixture: Float[Tensor, "b t"], length: Int[Tensor, " b"] | None = None) -> Float[Tensor, "b k t"]:
        """The voices of each mixture, of which the first `length` samples count."""
        bank, samples, mask = self._bank, mixture.shape[1], None
        frames = bank.frames
        if length is not None:
            length = length.clamp(max=samples)
            mixture = torch.where(real_places(length, samples), mixture, 0.0)
            if torch.compiler.is_compiling():
                # A program for any length may not turn on whether there is one step, or a frame that just fits: with
                # steps that are not real behind the others it does not.
                mixture = functional.pad(mixture, (0, frames.kernel + frames.stride))
        features = bank.encode(functional.pad(mixture, (bank.lead, bank.lead)))
        if length is not None:
            mask = frames.real(torch.where(length > 0, length + 2 * bank.lead, 0), features.shape[1])
        hidden, _ = self._masks.body(bank.seen(features), mask, None)
        parts = self._frames(hidden, features)
        if mask is not None:
            parts = parts * mask[:, None, :, None].to(parts.dtype)
        estimates = self._scaled(frames.add(parts)[..., bank.lead : bank.lead + samples])
        if length is None:
            return estimates
        return torch.where(real_places(length, samples).unsqueeze(1), estimates, 0.0)

    def start(self, batch: int) -> StreamState:
        """The state before the first sample of so many streams."""
        if not self.causal:
            raise ConfigError(
                "this network sees later steps, so it cannot stream; expected a causal one.\n"
                '  Train a run with model.norm="step" and causal mixers, such as the recipe speech/ssm-causal.'
            )
        empty = self.gain.new_zeros
        bank = self._bank
        return StreamState(empty(batch, bank.lead), empty(batch, self.voices, bank.frames.overlap), 0, None)

    def step(self, samples: Float[Tensor, "b n"], state: StreamState) -> tuple[Float[Tensor, "b k m"], StreamState]:
        """Takes any number of samples and gives those estimates that no later sample can change.

        All given so far, and what `finish` gives in the end, are the estimates of the whole.
        """
        bank, frames = self._bank, self._bank.frames
        samples = torch.cat([state.samples, samples], 1)
        ready = (samples.shape[1] - frames.kernel + frames.stride) // frames.stride
        if ready < 1:
            return samples.new_zeros(len(samples), self.voices, 0), state._replace(samples=samples)
        features = bank.encode(samples[:, : (ready - 1) * frames.stride + frames.kernel])
        hidden, masker = self._masks.body(bank.seen(features), None, state.masker)
        added = frames.add(self._frames(hidden, features))
        added = torch.cat([added[..., : frames.overlap] + state.tail, added[..., frames.overlap :]], -1)
        given = ready * frames.stride
        after = StreamState(samples[:, given:], added[..., given:], state.steps + ready, masker)
        return self._scaled(added[..., self._led(state) : given]), after

    def finish(self, state: StreamState) -> Float[Tensor, "b k m"]:
        """The estimates of the samples that are still held back; the stream is over."""
        bank, held = self._bank, state.samples.shape[1] - self._led(state)
        given, state = self.step(state.samples.new_zeros(len(state.samples), bank.lead), state)
        waiting = state.samples.shape[1]
        if waiting > (bank.frames.kernel - bank.frames.stride if state.steps else 0):
            # One more frame sees the last samples, as it does in the whole.
            missing = state.samples.new_zeros(len(state.samples), bank.frames.kernel - waiting)
            more, state = self.step(missing, state)
            given = torch.cat([given, more], -1)
        return torch.cat([given, self._scaled(state.tail[..., self._led(state) :])], -1)[..., :held]

    def after_step(self) -> None:
        """Lets the masker fold what it gathered (batch norms)."""
        fold = getattr(self.masker, "after_step", None)
        if fold is not None:
            fold()

    def _led(self, state: StreamState) -> int:
        """How many of the next samples stand for the silence before the first one."""
        return max(self._bank.lead - state.steps * self._bank.frames.stride, 0)

    @property
    def _bank(self) -> Bank:
        return cast(Bank, self.filterbank)

    @property
    def _masks(self) -> Masker:
        return cast(Masker, self.masker)

    def _frames(self, hidden: Tensor, features: Tensor) -> Float[Tensor, "b k s w"]:
        """Frames of every voice: masks, masked features and their synthesis, all of each step by itself."""
        if torch.is_grad_enabled() or torch.compiler.is_compiling():
            return self._frames_of(hidden, features)
        pieces = zip(hidden.split(_AT_ONCE, 1), features.split(_AT_ONCE, 1), strict=True)
        return torch.cat([self._frames_of(*piece) for piece in pieces], 2)

    def _frames_of(self, hidden: Tensor, features: Tensor) -> Tensor:
        return self._bank.decode(self._masks.head(hidden), features)

    def _scaled(self, estimates: Tensor) -> Tensor:
        return estimates * self.gain.unsqueeze(-1)
