"""Windows that slide over the samples of a recording, in constant memory."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Complex64, Float32, Int64

from armillary.core.errors import DataError
from armillary.domains.modulation.frames import Frames
from armillary.domains.modulation.readers.report import Report
from armillary.domains.modulation.readers.unusable import filled, finite
from armillary.domains.modulation.settings import ModulationPredict

Starts = Int64[np.ndarray, " m"]
Labels = Callable[[Starts, int], np.ndarray]


def unlabelled(starts: Starts, length: int) -> np.ndarray:
    """No label for any window."""
    return np.full(len(starts), "")


@dataclass(frozen=True)
class Capture:
    """An unbroken stretch of samples of one source, which `blocks` streams anew at every call.

    source: what its windows are called after. first: place of its first sample in the source. labels: of windows of
    some length, by their first samples. sample_rate_hz, centre_hz: as the file tells them [Hz], NaN where it does not.
    """

    source: str
    blocks: Callable[[], Iterator[Complex64[np.ndarray, " s"]]]
    sample_rate_hz: float = math.nan
    centre_hz: float = math.nan
    first: int = 0
    labels: Labels = unlabelled


def slide(
    blocks: Iterator[Complex64[np.ndarray, " s"]], length: int, hop: int
) -> Iterator[tuple[int, Complex64[np.ndarray, "m length"]]]:
    """Windows of `length` samples, `hop` apart, as they become whole: place of the first one's first sample, windows.

    The windows are the same however the samples are cut into blocks. They are views; what is kept of the samples
    before is shorter than a window.
    """
    held, start, skip = np.zeros(0, np.complex64), 0, 0
    for block in blocks:
        passed = min(skip, len(block))
        skip -= passed
        held = np.concatenate([held, block[passed:]])
        if len(held) < length:
            continue
        windows = np.lib.stride_tricks.sliding_window_view(held, length)[::hop]
        yield start, windows
        step = len(windows) * hop
        held, skip = held[step:].copy(), max(step - len(held), 0)
        start += step


def windows(capture: Capture, settings: ModulationPredict, chunk_items: int, report: Report) -> Iterator[Frames]:
    """Frames of `settings.window` samples from a capture, at most `chunk_items` at a time.

    Samples after the last whole window are dropped. With smoothing over m windows, every chunk but the first begins
    with the last m - 1 windows of the one before, counted by `lead`; these come on top where chunks are shorter than
    they. Windows of zeros and windows with NaN or infinity are left out and reported once for the whole capture, with
    their number and the first one's place, as is a capture shorter than a window. A capture that breaks off gives the
    windows before the break.

    Raises:
        DataError: the capture's own rate or centre frequency is not the one that the settings tell.
    """
    rate = _agreed(capture.sample_rate_hz, settings.sample_rate_hz, "sample rate", "predict.sample_rate_hz", capture)
    centre = _agreed(capture.centre_hz, settings.centre_hz, "centre frequency", "predict.centre_hz", capture)
    hop = settings.hop or settings.window
    tally = _Tally()
    blocks = tally.count(capture.blocks(), report)
    lead = settings.smooth - 1
    kept = _Windows.none(settings.window)
    for start, block in slide(blocks, settings.window, hop):
        for part in range(0, len(block), chunk_items):
            new = tally.usable(start + part * hop, hop, block[part : part + chunk_items])
            kept = kept.joined(new)
            while len(kept) - kept.lead >= (size := max(chunk_items - kept.lead, 1)):
                yield kept.frames(kept.lead + size, capture, rate, centre)
                kept = kept.after(kept.lead + size, lead)
    if len(kept) > kept.lead:
        yield kept.frames(len(kept), capture, rate, centre)
    tally.report(capture, settings.window, report)


def _agreed(own: float, told: float | None, what: str, setting: str, capture: Capture) -> float:
    """The file's own value, else the one that was told."""
    if told is None or math.isnan(own):
        return own if told is None else float(told)
    if abs(own - told) > 1e-6 * abs(told):
        raise DataError(
            f"the file's {what} is {own:.12g} Hz, {setting} says {told:.12g} Hz",
            path=capture.source,
            advice=f"Leave {setting} out to use the file's own, or correct the file.",
        )
    return own


@dataclass(frozen=True)
class _Windows:
    """Windows and the places of their first samples; the first `lead` were given before."""

    iq: Float32[np.ndarray, "m 2 l"]
    starts: Starts
    lead: int = 0

    @classmethod
    def none(cls, length: int) -> "_Windows":
        return cls(np.zeros((0, 2, length), np.float32), np.zeros(0, np.int64))

    def __len__(self) -> int:
        return len(self.starts)

    def joined(self, new: "_Windows") -> "_Windows":
        iq, starts = np.concatenate([self.iq, new.iq]), np.concatenate([self.starts, new.starts])
        return _Windows(iq, starts, self.lead)

    def after(self, count: int, lead: int) -> "_Windows":
        """What follows the first `count` windows, led by up to `lead` of these."""
        begin = max(count - lead, 0)
        return _Windows(self.iq[begin:].copy(), self.starts[begin:], count - begin)

    def frames(self, count: int, capture: Capture, rate: float, centre: float) -> Frames:
        starts = self.starts[:count] + capture.first
        iq = self.iq[:count]
        source = np.full(count, capture.source)
        return Frames(
            iq,
            capture.labels(starts, iq.shape[2]).astype(np.str_),
            np.full(count, np.nan, np.float32),
            np.array([f"{capture.source}:{start}" for start in starts.tolist()], np.str_),
            source,
            starts,
            rate,
            centre,
            (capture.source,),
            self.lead,
        )


@dataclass
class _Tally:
    """What was seen of a capture, and what could not be used of it."""

    samples: int = 0
    windows: int = 0
    broken: bool = False
    bad: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])

    def count(
        self, blocks: Iterator[Complex64[np.ndarray, " s"]], report: Report
    ) -> Iterator[Complex64[np.ndarray, " s"]]:
        """The blocks, counted, up to the error that ends them, which is reported."""
        try:
            for block in blocks:
                self.samples += len(block)
                yield block
        except DataError as error:
            self.broken = True
            report(error)

    def usable(self, start: int, hop: int, block: Complex64[np.ndarray, "m l"]) -> _Windows:
        """The windows of a block that can be used."""
        iq = np.stack([np.real(block), np.imag(block)], 1)
        starts = start + hop * np.arange(len(block), dtype=np.int64)
        whole = finite(iq)
        loud = filled(iq)
        self._note("samples that are not finite (NaN or infinity)", starts[~whole])
        self._note("nothing but zeros", starts[whole & ~loud])
        self.windows += len(block)
        good = whole & loud
        return _Windows(iq[good], starts[good])

    def _note(self, problem: str, starts: Starts) -> None:
        if len(starts):
            count, first = self.bad.get(problem, (0, int(starts[0])))
            self.bad[problem] = (count + len(starts), first)

    def report(self, capture: Capture, length: int, report: Report) -> None:
        """Says what was left out, once for all of the capture."""
        place = f"sample {capture.first}" if capture.first else None
        if self.windows == 0 and not self.broken:
            report(
                DataError(
                    f"has {self.samples} samples; expected at least {length}, one window",
                    path=capture.source, item=place,
                    advice="It is left out. Give a longer recording, or use a model of shorter frames.",
                )
            )  # fmt: skip
        for problem, (count, first) in self.bad.items():
            report(
                DataError(
                    f"{count} of {self.windows} windows hold {problem}",
                    path=capture.source, item=f"sample {capture.first + first}",
                    advice="They are left out; the place is the first one's.",
                )
            )  # fmt: skip
