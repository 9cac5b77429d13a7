"""Items of every system: mixtures of files, drawn mixtures that stay the same, and windows of recordings."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from jaxtyping import Float32, Int64

from armillary.core.domain import Batch, Item
from armillary.core.errors import DataError
from armillary.core.random import derive_rng
from armillary.domains.speech.collate import collate
from armillary.domains.speech.mixing.draw import MixtureDraw
from armillary.domains.speech.mixing.lengths import looped
from armillary.domains.speech.readers.load import load
from armillary.domains.speech.readers.mixtures import Mixtures
from armillary.domains.speech.readers.report import warn
from armillary.domains.speech.settings import SpeechRun

Key = tuple[int, int]
Signal = Float32[np.ndarray, " t"]


class MixtureItems:
    """Mixtures of a set, read or mixed when asked for: {"mixture" (t,), "sources" (k, t), "index"}.

    Training items (epochs from 1 on) are a part of `data.segment_s`, which begins at a place drawn from (seed, epoch,
    index); shorter mixtures come whole, as all do in epoch 0. What of a file cannot be read then is silent, and warned
    of. lengths: samples that an item has: of training, at most a segment.
    """

    def __init__(
        self, config: SpeechRun, mixtures: Mixtures, training: bool = False, problems: Sequence[DataError] = ()
    ) -> None:
        self._config, self.mixtures, self._training, self.problems = config, mixtures, training, problems
        segment_s = config.data.segment_s
        self._segment = None if segment_s is None else max(round(segment_s * config.data.sample_rate_hz), 1)
        self.ids, self.groups = mixtures.ids, mixtures.groups
        self.known: Mapping[str, np.ndarray] = {"speakers": mixtures.speakers, "sexes": mixtures.sexes}
        limit = self._segment if training else None
        self.lengths: Int64[np.ndarray, " n"] = (
            mixtures.lengths if limit is None else np.minimum(mixtures.lengths, np.int64(limit))
        )

    @property
    def seconds(self) -> Float32[np.ndarray, " n"]:
        """Length of each whole mixture [s]."""
        return (self.mixtures.lengths / self.mixtures.rate_hz).astype(np.float32)

    def select(self, indices: Int64[np.ndarray, " m"]) -> "MixtureItems":
        """The items at `indices` as a dataset of their own."""
        return MixtureItems(self._config, self.mixtures.select(indices), self._training)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, key: Key) -> Item:
        epoch, index = key
        start, stop = 0, int(self.mixtures.lengths[index])
        if epoch > 0 and self._segment is not None and self._segment < stop:
            rng = derive_rng(self._config.seed, "segment", epoch, index)
            start = int(rng.integers(stop - self._segment + 1))
            stop = start + self._segment
        sources = self._sources(index, start, stop)
        return {"mixture": self._mixture(index, sources, start, stop), "sources": sources, "index": index}

    def collate(self, items: Sequence[Item]) -> Batch:
        """mixture (b, t), sources (b, k, t), length and index (b,)."""
        return collate(items)

    def _sources(self, index: int, start: int, stop: int) -> Float32[np.ndarray, "k t"]:
        table = self.mixtures
        parts = [self._read(path, start, stop) for path in table.voices[index]]
        return np.stack(parts) * table.gains[index][:, None]

    def _mixture(self, index: int, sources: Float32[np.ndarray, "k t"], start: int, stop: int) -> Signal:
        path, noise = self.mixtures.mixture[index], self.mixtures.noise[index]
        if path is not None:
            return self._read(path, start, stop)
        mixture = sources.sum(0)
        return mixture if noise is None else mixture + self._noise(index, noise, start, stop)

    def _noise(self, index: int, path: Path, start: int, stop: int) -> Signal:
        """The noise from its own start on; one that ends before the mixture's longest voice goes on with itself."""
        table = self.mixtures
        begin, longest = int(table.noise_starts[index]), int(table.longest[index])
        try:
            whole = load(path, table.rate_hz, begin, begin + longest)
        except DataError as error:
            warn(error)
            whole = np.zeros(0, np.float32)
        return looped(whole, longest, table.rate_hz)[start:stop] * table.noise_gains[index]

    def _read(self, path: Path, start: int, stop: int) -> Signal:
        """Samples of a file, with silence where it has none."""
        out = np.zeros(stop - start, np.float32)
        try:
            found = load(path, self.mixtures.rate_hz, start, stop)
        except DataError as error:
            warn(error)
            return out
        out[: len(found)] = found
        return out


class DrawnItems:
    """`count` mixtures drawn from a pool of voices, the same in every epoch: a test of a set that lists no mixtures.

    All are drawn once at the beginning, to know who speaks, and again when asked for.
    """

    def __init__(
        self, draw: MixtureDraw, sexes: Mapping[str, str], count: int, name: str, problems: Sequence[DataError] = ()
    ) -> None:
        self._draw = draw
        drawn = [draw(0, index) for index in range(count)]
        speakers = [one.speakers for one in drawn]
        self.problems: Sequence[DataError] = [*problems, *draw.problems]
        self.ids = np.char.add(f"{name}/", np.arange(count).astype(np.str_))
        self.groups = np.array(["+".join(sorted(set(names))) for names in speakers], np.str_)
        self.known: Mapping[str, np.ndarray] = {
            "speakers": np.array(speakers, np.str_),
            "sexes": np.array([[sexes.get(name, "") for name in names] for names in speakers], np.str_),
        }
        self.lengths: Int64[np.ndarray, " n"] = np.array([len(one.mixture) for one in drawn], np.int64)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, key: Key) -> Item:
        _, index = key
        drawn = self._draw(0, index)
        return {"mixture": drawn.mixture, "sources": drawn.sources, "index": index}

    def collate(self, items: Sequence[Item]) -> Batch:
        """mixture (b, t), sources (b, k, t), length and index (b,)."""
        return collate(items)


class WindowItems:
    """Windows of recordings as `read` gives them in a chunk: {"mixture" (t,), "index"}, without padding.

    chunk: the windows, with file, place and whether each is its file's last.
    """

    problems: Sequence[DataError] = ()

    def __init__(self, chunk: xr.Dataset, num_voices: int) -> None:
        self.chunk = chunk
        self._mixture = np.asarray(chunk["mixture"].transpose("item", "sample").values, np.float32)
        self.lengths: Int64[np.ndarray, " n"] = np.asarray(chunk["length"].values, np.int64)
        self.ids = np.asarray(chunk["item"].values).astype(np.str_)
        self.groups = np.asarray(chunk["file"].values).astype(np.str_)
        nobody = np.full((len(self.ids), num_voices), "", np.str_)
        self.known: Mapping[str, np.ndarray] = {"speakers": nobody, "sexes": nobody}

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, key: Key) -> Item:
        _, index = key
        return {"mixture": self._mixture[index, : self.lengths[index]], "index": index}

    def collate(self, items: Sequence[Item]) -> Batch:
        """mixture (b, t), length and index (b,)."""
        return collate(items)
