"""Windows of separated files become whole voices again, in order and in constant memory."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float32

from armillary.core.errors import DataError
from armillary.domains.speech.gain import WindowGain
from armillary.domains.speech.joining.matching import match
from armillary.domains.speech.joining.spectrum import VoicePrints


@dataclass(frozen=True)
class Piece:
    """Finished samples of the voices of a file; they follow those of the piece before.

    mixture: the samples of the file there. start: place of the first one. last: whether the file ends here.
    """

    file: str
    rate_hz: int
    start: int
    samples: Float32[np.ndarray, "k n"]
    mixture: Float32[np.ndarray, " n"]
    last: bool


class Joiner:
    """Joins predictions of windows, chunk by chunk; holds one window's length of samples at most.

    Voices of a window are put in the order of those so far (`match`), brought to the mixture's level (`WindowGain`)
    and faded in linearly over all samples that both have. Windows are placed by their `start`: they may overlap by any
    length. A file that never comes to its `last` window ends with the last window that there is.
    """

    def __init__(self) -> None:
        self._file: _File | None = None

    @property
    def held(self) -> int:
        """Samples of each voice that wait for the next window."""
        return 0 if self._file is None else self._file.samples.shape[1]

    def add(self, prediction: xr.Dataset) -> Iterator[Piece]:
        """What the windows of `prediction` finish; to be used up before the next call.

        Raises:
            DataError: a window starts behind the end of the one before, so that samples are missing.
        """
        estimates = prediction["estimate"].transpose("item", "source", "sample").values
        mixtures = prediction["mixture"].transpose("item", "sample").values
        columns = [prediction[name].values.tolist() for name in ("file", "start", "length", "last")]
        rate_hz = int(prediction.attrs["sample_rate_hz"])
        for estimate, mixture, file, start, length, last in zip(estimates, mixtures, *columns, strict=True):
            window = _Window(estimate[:, :length], mixture[:length], start)
            yield from self._add(str(file), rate_hz, window, bool(last))

    def finish(self) -> Iterator[Piece]:
        """The rest of a file whose last window did not come."""
        if self._file is not None:
            yield self._file.rest()
            self._file = None

    def _add(self, name: str, rate_hz: int, window: "_Window", last: bool) -> Iterator[Piece]:
        if self._file is not None and (self._file.name != name or window.start <= self._file.start):
            yield from self.finish()
        if self._file is None:
            self._file = _File(name, rate_hz, window, last)
        else:
            yield self._file.add(window)
        if last:
            yield from self.finish()


@dataclass(frozen=True)
class _Window:
    """Estimates and mixture of a window without its padding, and its place in the file."""

    estimate: Float32[np.ndarray, "k n"]
    mixture: Float32[np.ndarray, " n"]
    start: int


class _File:
    """A file so far: its samples from the start of its newest window on, and how its voices sound."""

    def __init__(self, name: str, rate_hz: int, window: _Window, alone: bool) -> None:
        self.name, self._rate_hz, self.start = name, rate_hz, window.start
        self._gain = WindowGain()
        self.samples, self._mixture = self._levelled(window), window.mixture.copy()
        self._loudest = 0.0  # mean power of the loudest voice in any window
        self._prints = VoicePrints(len(self.samples))
        # One window needs no matching, and may be a whole file that is long.
        if not alone:
            self._prints.add(self._prints_of(self.samples))

    @property
    def _end(self) -> int:
        return self.start + self.samples.shape[1]

    def add(self, window: _Window) -> Piece:
        """Joins the next window on; the samples before it are finished."""
        if window.start > self._end:
            raise DataError(
                f"a window starts at sample {window.start}, but the one before ends at {self._end}",
                path=self.name,
                advice="Windows have to follow each other without a gap; predict the file again.",
            )
        done, both = window.start - self.start, min(self._end, window.start + len(window.mixture)) - window.start
        voices = self._levelled(window)
        prints = self._prints_of(voices)
        running = self.samples[:, done:]
        order = match(running[:, :both], voices[:, :both], self._prints.distance_db(prints), self._loudest)
        self._prints.add(prints.ordered(order))
        piece = self._piece(done, last=False)
        self.samples = _faded(running, voices[order], both)
        self._mixture = np.concatenate([self._mixture[done:], window.mixture[both:]])
        self.start = window.start
        return piece

    def rest(self) -> Piece:
        """Everything that is held, as the file's end."""
        return self._piece(self.samples.shape[1], last=True)

    def _piece(self, count: int, last: bool) -> Piece:
        samples, mixture = self.samples[:, :count], self._mixture[:count]
        return Piece(self.name, self._rate_hz, self.start, samples, mixture, last)

    def _levelled(self, window: _Window) -> Float32[np.ndarray, "k n"]:
        return window.estimate * np.float32(self._gain(window.estimate, window.mixture))

    def _prints_of(self, voices: Float32[np.ndarray, "k n"]) -> VoicePrints:
        power = np.square(voices, dtype=np.float64).mean(1) if voices.shape[1] else np.zeros(len(voices))
        self._loudest = max(self._loudest, float(power.max()))
        return VoicePrints.of(voices, self._rate_hz, self._loudest)


def _faded(
    running: Float32[np.ndarray, "k m"], new: Float32[np.ndarray, "k n"], both: int
) -> Float32[np.ndarray, "k l"]:
    """a + w (b - a) over the samples of both, with w rising linearly from above 0 to below 1; then the longer one."""
    weight = ((np.arange(both) + 1) / (both + 1)).astype(np.float32)
    old = running[:, :both]
    faded = old + weight * (new[:, :both] - old)
    return np.concatenate([faded, running[:, both:], new[:, both:]], axis=1)
