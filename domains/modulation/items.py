"""Items of every system: frames of a set, read when asked for, or frames of the generator, made when asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt64

from armillary.core.domain import Batch, Item
from armillary.core.errors import DataError
from armillary.core.random import item_seeds
from armillary.domains.modulation.augment import augment
from armillary.domains.modulation.classes import may_conjugate
from armillary.domains.modulation.frames import Frames
from armillary.domains.modulation.settings import AugmentSettings, GeneratorSettings, ModulationRun

Key = tuple[int, int]
Indices = Int64[np.ndarray, " m"]
# (place of the class, SNR label [dB], seed of each frame) -> frames
Make = Callable[
    [Int64[np.ndarray, " n"], Float32[np.ndarray, " n"], UInt64[np.ndarray, " n"]], Float32[np.ndarray, "n 2 l"]
]


class FrameItems:
    """Frames of a set at the places `chosen`; a set that lies on disk stays there until its frames are asked for.

    targets: place of each frame's class in class_names, -1 for others. capture: windows of a recording, in order.
    """

    def __init__(
        self,
        config: ModulationRun,
        frames: Frames,
        target: Int64[np.ndarray, " n"],
        chosen: Indices,
        problems: Sequence[DataError] = (),
        capture: bool = False,
    ) -> None:
        self._config, self._target = config, target
        self.frames, self.chosen, self.problems, self.capture = frames, chosen, problems, capture
        self.class_names = config.data.classes
        self.ids, self.groups = frames.id[chosen], frames.group[chosen]
        self.targets, self.snr_db = target[chosen], frames.snr_db[chosen]
        self._augment = _Augment(config)

    def select(self, indices: Indices) -> "FrameItems":
        """The items at `indices` as a dataset of their own."""
        return FrameItems(
            self._config, replace(self.frames, lead=0), self._target, self.chosen[indices], (), self.capture
        )

    def iq(self, indices: Indices) -> Float32[np.ndarray, "m 2 l"]:
        """The frames at `indices` as they are."""
        return np.asarray(self.frames.iq[self.chosen[indices]], np.float32)

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, key: Key) -> Item:
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: Sequence[Key]) -> list[Item]:
        """The items of several keys at once, each as it would be alone."""
        places = np.array([index for _, index in keys], np.int64)
        iq = self._augment(self.iq(places), self.targets[places], keys)
        return _rows(iq, self.targets[places], self.snr_db[places], places)

    def collate(self, items: Sequence[Item]) -> Batch:
        """iq (b, 2, l), target, snr_db and index (b,)."""
        return collate(items)


class GeneratedItems:
    """Simulated frames, `per_key` of each class and SNR; with `fresh`, other ones in every epoch.

    A frame depends on (seed, split, epoch, index) alone. Class and SNR of an index are the same in every epoch.
    """

    problems: Sequence[DataError] = ()
    capture = False

    def __init__(
        self, config: ModulationRun, make: Make, split: str, per_key: int, settings: GeneratorSettings
    ) -> None:
        self.frames = _nothing(config)
        self._config, self._make, self._split, self._settings = config, make, split, settings
        self.class_names = config.data.classes
        snrs = np.array(_snr_labels(config), np.float32)
        count = per_key * len(self.class_names) * len(snrs)
        index = np.arange(count, dtype=np.int64)
        self._sent = index % len(self.class_names)
        self.targets = self._sent.copy()
        self.snr_db = snrs[(index // len(self.class_names)) % len(snrs)]
        self.ids = self.groups = np.char.add(f"{split}/", index.astype(np.str_))
        self._augment = _Augment(config)

    def iq(self, indices: Indices) -> Float32[np.ndarray, "m 2 l"]:
        """The plain frames (epoch 0) at `indices`."""
        return self._generate(indices, 0)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, key: Key) -> Item:
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: Sequence[Key]) -> list[Item]:
        """The items of several keys at once, each as it would be alone."""
        epochs, places = (np.array(part, np.int64) for part in zip(*keys, strict=True))
        iq = np.empty((len(keys), 2, self._config.data.length), np.float32)
        for epoch in np.unique(epochs):
            now = epochs == epoch
            iq[now] = self._generate(places[now], int(epoch))
        iq = self._augment(iq, self.targets[places], keys)
        return _rows(iq, self.targets[places], self.snr_db[places], places)

    def collate(self, items: Sequence[Item]) -> Batch:
        """iq (b, 2, l), target, snr_db and index (b,)."""
        return collate(items)

    def _generate(self, places: Indices, epoch: int) -> Float32[np.ndarray, "m 2 l"]:
        epoch = epoch if self._settings.fresh else 0
        seeds = item_seeds(places, self._config.seed, "generator", self._split, epoch)
        return self._make(self._sent[places], self.snr_db[places], seeds)


@dataclass(frozen=True)
class _Augment:
    """Augmentation of training items (epochs from 1 on) as the run asks for it."""

    config: ModulationRun

    def __call__(
        self, iq: Float32[np.ndarray, "m 2 l"], target: Int64[np.ndarray, " m"], keys: Sequence[Key]
    ) -> Float32[np.ndarray, "m 2 l"]:
        settings = self.config.data.augment
        epochs = np.array([epoch for epoch, _ in keys], np.int64)
        if settings == AugmentSettings() or not epochs.any():
            return iq
        places = np.array([index for _, index in keys], np.int64)
        seeds = np.empty(len(keys), np.uint64)
        for epoch in np.unique(epochs):
            now = epochs == epoch
            seeds[now] = item_seeds(places[now], self.config.seed, "augment", int(epoch))
        allowed = np.array([may_conjugate(name) for name in self.config.data.classes] + [False], np.bool_)
        changed = augment(iq, allowed[target], seeds, settings)
        return np.where((epochs > 0)[:, None, None], changed, iq)


def collate(items: Sequence[Item]) -> Batch:
    """Frames of equal length as one batch of tensors."""
    return {
        "iq": torch.from_numpy(np.stack([item["iq"] for item in items])),
        "snr_db": torch.tensor([item["snr_db"] for item in items], dtype=torch.float32),
        "target": torch.tensor([item["target"] for item in items], dtype=torch.int64),
        "index": torch.tensor([item["index"] for item in items], dtype=torch.int64),
    }


def _rows(iq: Float32[np.ndarray, "m 2 l"], target: np.ndarray, snr_db: np.ndarray, places: Indices) -> list[Item]:
    columns = zip(iq, target.tolist(), snr_db.tolist(), places.tolist(), strict=True)
    return [{"iq": frame, "target": k, "snr_db": snr, "index": place} for frame, k, snr, place in columns]


def _snr_labels(config: ModulationRun) -> list[float]:
    low, high = config.data.snr_db or (float("-inf"), float("inf"))
    return [snr for snr in config.data.snr_labels if low <= snr <= high]


def _nothing(config: ModulationRun) -> Frames:
    """No frames, yet with the rate and the length that figures and baselines ask for."""
    empty = np.zeros(0, np.str_)
    frames = Frames(
        np.zeros((0, 2, config.data.length), np.float32), empty, np.zeros(0, np.float32), empty, empty,
        np.zeros(0, np.int64),
    )  # fmt: skip
    return replace(frames, sample_rate_hz=config.data.sample_rate_hz)
