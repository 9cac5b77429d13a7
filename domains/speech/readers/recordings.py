"""Recordings of voices or noises in files, opened where they are asked for."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64

from armillary.core.domain import Split
from armillary.core.errors import DataError
from armillary.domains.speech.readers.audio import info, stream_audio
from armillary.domains.speech.readers.load import load
from armillary.domains.speech.readers.report import Report
from armillary.domains.speech.readers.resample import resampled_length


@dataclass(frozen=True)
class Recording:
    """One voice or noise as a set lists it.

    speaker: who speaks; of a noise, the recording. sex: "F", "M" or "". split: None where the set does not tell.
    paths: files that are joined end to end. part: from where to where of it, as shares of its length.
    told: samples at the files' own rate as the set's table says, None where it does not.
    """

    id: str
    speaker: str
    paths: tuple[Path, ...]
    sex: str = ""
    split: Split | None = None
    part: tuple[float, float] = (0.0, 1.0)
    told: int | None = None


@dataclass(eq=False)
class FilePool:
    """Recordings at one rate, of which only names and lengths are in memory.

    starts: where each begins in its files. A recording of several files is these end to end.
    """

    ids: np.ndarray
    speaker: np.ndarray
    sex: np.ndarray
    lengths: Int64[np.ndarray, " n"]
    sample_rate_hz: int
    paths: tuple[tuple[Path, ...], ...]
    starts: Int64[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.ids)

    def load(self, index: int, start: int = 0, stop: int | None = None) -> Float32[np.ndarray, " t"]:
        """Samples from `start` to `stop` (None: the end) of recording `index`; must not be written to.

        Raises:
            DataError: a file that cannot be read.
        """
        first, length, paths = int(self.starts[index]), int(self.lengths[index]), self.paths[index]
        begin, end = first + min(start, length), first + min(length if stop is None else stop, length)
        if len(paths) == 1:
            return load(paths[0], self.sample_rate_hz, begin, end)
        return np.concatenate([load(path, self.sample_rate_hz) for path in paths])[begin:end]


def open_pool(recordings: Iterable[Recording], rate_hz: int, report: Report, card: str | None = None) -> FilePool:
    """The recordings that can be read; the others go to `report`, as do lengths that are not what a table says."""
    kept: list[Recording] = []
    lengths: list[int] = []
    for recording in recordings:
        try:
            length = _length(recording, rate_hz, report, card)
        except DataError as error:
            report(placed(error, card, recording.id))
            continue
        kept.append(recording)
        lengths.append(length)
    whole = np.array(lengths, np.int64)
    low, high = (np.array([one.part[side] for one in kept], np.float64) for side in (0, 1))
    starts = np.floor(low * whole).astype(np.int64)
    return FilePool(
        np.array([one.id for one in kept], np.str_),
        np.array([one.speaker for one in kept], np.str_),
        np.array([one.sex for one in kept], np.str_),
        np.floor(high * whole).astype(np.int64) - starts,
        rate_hz,
        tuple(one.paths for one in kept),
        starts,
    )


def placed(error: DataError, card: str | None, item: str) -> DataError:
    """The same problem with the card and the item that it is of."""
    return DataError(error.problem, path=error.path, item=item, card=card, advice=error.advice)


def _length(recording: Recording, rate_hz: int, report: Report, card: str | None) -> int:
    """Samples at `rate_hz` of all its files."""
    total = 0
    for path in recording.paths:
        about = info(path)
        frames = about.num_frames
        total += resampled_length(frames, about.rate_hz, rate_hz) if frames else decoded_length(path, rate_hz)
        if recording.told is not None and frames is not None and frames != recording.told:
            problem = f"has {frames} samples, its table says {recording.told}"
            report(DataError(problem, path=path, item=recording.id, card=card, advice="The file's length is used."))
    return total


def decoded_length(path: Path, rate_hz: int) -> int:
    """Samples at `rate_hz` of a file whose header does not tell: all of it is decoded."""
    return sum(len(block) for block in stream_audio(path, rate_hz, 0))
