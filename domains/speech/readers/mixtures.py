"""Mixtures as sets list them, and the table of those whose files can be read."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float32, Int64

from armillary.core.errors import DataError
from armillary.domains.speech.readers.audio import AudioInfo, info
from armillary.domains.speech.readers.recordings import decoded_length, placed
from armillary.domains.speech.readers.report import Report
from armillary.domains.speech.readers.resample import resampled_length

# Gains and starts of LibriMix's lists are for signals at this rate.
LIST_RATE_HZ = 16_000


@dataclass(frozen=True)
class Part:
    """One signal of a mixture: a file, a factor, and where in the file it begins [samples at 16 kHz]."""

    path: Path
    gain: float = 1.0
    start: int = 0


@dataclass(frozen=True)
class Listed:
    """A mixture as a set lists it.

    mixture: the file of the mixture itself; None: voices and noise are added. told: its samples at the files' rate as a
    table says, None where none does.
    """

    id: str
    voices: tuple[Part, ...]
    noise: Part | None = None
    mixture: Path | None = None
    speakers: tuple[str, ...] = ()
    sexes: tuple[str, ...] = ()
    told: int | None = None

    @property
    def files(self) -> Iterator[Path]:
        """Every file that it needs; of a mixture with a file of its own, no noise."""
        yield from (part.path for part in self.voices)
        if self.mixture is not None:
            yield self.mixture
        elif self.noise is not None:
            yield self.noise.path

    @property
    def group(self) -> str:
        """Its speakers, whatever their order; its id where they are not known."""
        return "+".join(sorted(set(self.speakers))) if all(self.speakers) and self.speakers else self.id


@dataclass(frozen=True)
class Mixtures:
    """n mixtures of k voices that can be read. Column v of the arrays is voice v.

    voices: files; gains: their factors. noise: files, None for none, with gains and starts [samples at rate_hz].
    mixture: files of the mixtures themselves, None where the parts are added. lengths, longest: samples of each
    mixture, and of its longest voice, at rate_hz.
    """

    ids: np.ndarray
    groups: np.ndarray
    speakers: np.ndarray
    sexes: np.ndarray
    voices: tuple[tuple[Path, ...], ...]
    gains: Float32[np.ndarray, "n k"]
    noise: tuple[Path | None, ...]
    noise_gains: Float32[np.ndarray, " n"]
    noise_starts: Int64[np.ndarray, " n"]
    mixture: tuple[Path | None, ...]
    lengths: Int64[np.ndarray, " n"]
    longest: Int64[np.ndarray, " n"]
    rate_hz: int

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, indices: Int64[np.ndarray, " m"]) -> "Mixtures":
        """The mixtures at `indices`."""
        places = indices.tolist()
        return Mixtures(
            self.ids[indices],
            self.groups[indices],
            self.speakers[indices],
            self.sexes[indices],
            tuple(self.voices[place] for place in places),
            self.gains[indices],
            tuple(self.noise[place] for place in places),
            self.noise_gains[indices],
            self.noise_starts[indices],
            tuple(self.mixture[place] for place in places),
            self.lengths[indices],
            self.longest[indices],
            self.rate_hz,
        )


@dataclass
class Gathering:
    """Turns listed mixtures into a table, and tells which cannot be used. Looks at each file once.

    mode: how long a mixture of voices of different lengths is. card: what problems are told of.
    """

    rate_hz: int
    mode: Literal["min", "max"]
    report: Report
    card: str
    _known: dict[Path, AudioInfo | DataError] = field(default_factory=dict[Path, AudioInfo | DataError])

    def table(self, listed: Iterable[Listed], num_voices: int) -> Mixtures:
        """The mixtures of `num_voices` voices that can be used."""
        rows: list[tuple[Listed, int, int]] = []
        for one in listed:
            try:
                rows.append((one, *self._lengths(one)))
            except DataError as error:
                self.report(placed(error, self.card, one.id))
        return _table(rows, num_voices, self.rate_hz)

    def _lengths(self, one: Listed) -> tuple[int, int]:
        """Samples of the mixture and of its longest voice at the wanted rate."""
        about = {path: self._info(path) for path in one.files}
        _check_rates(about)
        lengths = [self._at_rate(part.path, about[part.path]) for part in one.voices]
        if one.mixture is None:
            if one.noise is not None:
                self._check_start(one.noise, about[one.noise.path])
            return (min if self.mode == "min" else max)(lengths), max(lengths)
        _check_equal({path: self._at_rate(path, its) for path, its in about.items()})
        found = about[one.mixture].num_frames
        if one.told is not None and found is not None and found != one.told:
            self._tell(one, f"has {found} samples, its table says {one.told}")
        return lengths[0], lengths[0]

    def _info(self, path: Path) -> AudioInfo:
        if path not in self._known:
            try:
                self._known[path] = info(path)
            except DataError as error:
                self._known[path] = error
        found = self._known[path]
        if isinstance(found, DataError):
            raise found
        return found

    def _at_rate(self, path: Path, about: AudioInfo) -> int:
        if about.num_frames is None:
            return decoded_length(path, self.rate_hz)
        return resampled_length(about.num_frames, about.rate_hz, self.rate_hz)

    def _check_start(self, noise: Part, about: AudioInfo) -> None:
        frames = about.num_frames
        if noise.start < 0 or (frames is not None and noise.start * about.rate_hz >= frames * LIST_RATE_HZ):
            raise DataError(
                f"its part of the noise begins at sample {noise.start}; expected 0 to the end of the {frames} samples",
                path=noise.path,
                advice="Correct noise_start in the list: it counts samples at 16 kHz.",
            )

    def _tell(self, one: Listed, problem: str) -> None:
        advice = "The file's length is used."
        self.report(DataError(problem, path=one.mixture, item=one.id, card=self.card, advice=advice))


def _check_rates(about: dict[Path, AudioInfo]) -> None:
    rates = {its.rate_hz for its in about.values()}
    if len(rates) > 1:
        first, *others = about
        other = next(path for path in others if about[path].rate_hz != about[first].rate_hz)
        raise DataError(
            f"is at {about[other].rate_hz} Hz, {first.name} of the same mixture at {about[first].rate_hz} Hz",
            path=other,
            advice="The files of a mixture have one rate: make it anew.",
        )


def _check_equal(lengths: dict[Path, int]) -> None:
    first, *others = lengths
    for other in others:
        if lengths[other] != lengths[first]:
            raise DataError(
                f"has {lengths[other]} samples, {first} of the same mixture {lengths[first]}",
                path=other,
                advice="A mixture and its voices are equally long: make them anew.",
            )


def _table(rows: list[tuple[Listed, int, int]], num_voices: int, rate_hz: int) -> Mixtures:
    listed = [one for one, _, _ in rows]
    unknown = ("",) * num_voices
    noises = [None if one.mixture is not None else one.noise for one in listed]
    starts = [0 if part is None else round(part.start * rate_hz / LIST_RATE_HZ) for part in noises]
    shape = (len(rows), num_voices)
    return Mixtures(
        ids=np.array([one.id for one in listed], np.str_),
        groups=np.array([one.group for one in listed], np.str_),
        speakers=np.array([one.speakers or unknown for one in listed], np.str_).reshape(shape),
        sexes=np.array([one.sexes or unknown for one in listed], np.str_).reshape(shape),
        voices=tuple(tuple(part.path for part in one.voices) for one in listed),
        gains=np.array([[part.gain for part in one.voices] for one in listed], np.float32).reshape(shape),
        noise=tuple(None if part is None else part.path for part in noises),
        noise_gains=np.array([0 if part is None else part.gain for part in noises], np.float32),
        noise_starts=np.array(starts, np.int64),
        mixture=tuple(one.mixture for one in listed),
        lengths=np.array([length for _, length, _ in rows], np.int64),
        longest=np.array([longest for _, _, longest in rows], np.int64),
        rate_hz=rate_hz,
    )
