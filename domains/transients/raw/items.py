"""Items of the raw systems: the observations of one object, augmented while training."""

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Int64

from armillary.core.domain import Batch, Item
from armillary.core.errors import DataError
from armillary.core.random import derive_rng
from armillary.domains.transients.augment import augment, changes
from armillary.domains.transients.features.padded import first_detection
from armillary.domains.transients.lightcurves import LightCurves
from armillary.domains.transients.settings import TransientsRun

_PADDED = {"time": np.float32, "flux": np.float32, "flux_error": np.float32, "band": np.int64}


class RawItems:
    """Observations from `days_before` the trigger (the first detection) on; times are days since the trigger.

    Nothing is cut at the end: what follows the last detection is only known afterwards. `curves` stay whole, as
    the baselines read them.
    """

    def __init__(
        self, config: TransientsRun, curves: LightCurves, target: Int64[np.ndarray, " n"], problems: Sequence[DataError]
    ) -> None:
        self._config, self._data, self._seed = config, config.data, config.seed
        self.curves, self.targets, self.problems = curves, target, problems
        self._seen, self._trigger = _from_trigger(curves, config.data.days_before)
        self.class_names = tuple(config.data.classes)
        self.ids = self.groups = curves.object_id
        self.lengths = self._seen.row_size
        spectroscopic = config.data.redshift == "spectroscopic"
        self._redshift = curves.redshift_spec if spectroscopic else curves.redshift
        error = np.zeros_like(self._redshift) if spectroscopic else curves.redshift_error
        self._redshift_error = error

    def __len__(self) -> int:
        return len(self.curves)

    def select(self, indices: Int64[np.ndarray, " m"]) -> "RawItems":
        """The items at `indices` as a dataset of their own."""
        return RawItems(self._config, self.curves.select(indices), self.targets[indices], ())

    @cached_property
    def time(self) -> np.ndarray:
        """Days since each object's trigger (rows,), single precision: the model never sees an absolute date."""
        return (self._seen.time - np.repeat(self._trigger, self._seen.row_size)).astype(np.float32)

    def __getitem__(self, key: tuple[int, int]) -> Item:
        epoch, index = key
        rows = self._seen.rows(index)
        item = {
            "time": self.time[rows],
            "flux": self._seen.flux[rows],
            "flux_error": self._seen.flux_error[rows],
            "band": self._seen.band_index[rows],
            "redshift": float(self._redshift[index]),
            "redshift_error": float(self._redshift_error[index]),
        }
        if epoch > 0 and changes(self._data.augment):
            rng = derive_rng(self._seed, "augment", epoch, index)
            item = augment(item, self._data.augment, self._seen.wavelength, rng)
        return {**item, "target": int(self.targets[index]), "index": index}

    def collate(self, items: Sequence[Item]) -> Batch:
        """Padded tensors (b, l) with mask; scalars (b,)."""
        lengths = np.array([len(item["time"]) for item in items])
        mask = np.arange(max(int(lengths.max()), 1)) < lengths[:, None]
        batch: Batch = {name: torch.from_numpy(_pad(items, name, kind, mask)) for name, kind in _PADDED.items()}
        # An error of 1 in the padding keeps its logarithm finite; the mask keeps it out of every result.
        batch["flux_error"].masked_fill_(~torch.from_numpy(mask), 1.0)
        for name in ("redshift", "redshift_error"):
            batch[name] = torch.tensor([item[name] for item in items], dtype=torch.float32)
        for name in ("target", "index"):
            batch[name] = torch.tensor([item[name] for item in items], dtype=torch.int64)
        return {**batch, "mask": torch.from_numpy(mask)}


def _pad(items: Sequence[Mapping[str, np.ndarray]], name: str, kind: type, mask: np.ndarray) -> np.ndarray:
    padded = np.zeros(mask.shape, kind)
    padded[mask] = np.concatenate([item[name] for item in items])
    return padded


def _from_trigger(curves: LightCurves, days_before: float) -> tuple[LightCurves, np.ndarray]:
    """Light curves without what lies more than `days_before` before the first detection, and its times."""
    trigger = first_detection(curves)
    return curves.where(curves.time >= np.repeat(trigger - days_before, curves.row_size)), trigger
