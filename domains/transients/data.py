"""From a configuration to the items of a split, and from a chunk of files to items to predict."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from jaxtyping import Bool, Int64

from armillary.core.domain import Items, Split
from armillary.core.errors import ConfigError, DataError
from armillary.domains.transients.augment import changes
from armillary.domains.transients.extinction import deredden
from armillary.domains.transients.lightcurves import LightCurves
from armillary.domains.transients.settings import TransientsData, TransientsRun
from armillary.domains.transients.splits import split_objects, targets
from armillary.domains.transients.store import load_curves

# Files (patterns) of a card that hold the survey's spectroscopic (labelled, biased) sample, where it has one of its
# own, and those of the sample that stands for the survey. A card that is not listed is one sample: its whole folder.
_SPECTROSCOPIC = {
    "spcc": ("spectro_train.tar.xz", "labels.csv.gz"),
    "plasticc_full": ("plasticc_train_*.csv.gz",),
}
_PHOTOMETRIC = {
    "spcc": ("photo_subset.tar.xz", "labels.csv.gz"),
    "plasticc_full": ("plasticc_test_*.csv.gz",),
}


@dataclass(frozen=True)
class Sample:
    """Labelled objects: their light curves, target classes (-1: none) and which are the spectroscopic sample."""

    curves: LightCurves
    target: Int64[np.ndarray, " n"]
    spectroscopic: Bool[np.ndarray, " n"]


def datasets(config: TransientsRun, folders: Mapping[str, Path], split: Split) -> Items:
    """One split of a run's data as items of its system."""
    data = config.data
    sample = load_sample(data, folders[data.card])
    chosen = split_objects(sample.target, data, sample.spectroscopic)[split]
    if split == "train" and config.model.kind == "t2" and changes(data.augment):
        logging.getLogger("armillary").warning("data.augment has no effect on t2, whose items are interpolated once")
    if data.open_set and split == "test":
        strange = (sample.target < 0) & (sample.curves.label != "")
        chosen = np.sort(np.concatenate([chosen, np.flatnonzero(strange)]))
    if data.limit is not None:
        # A prefix of a sorted list would hold the survey's first objects only; an even stride keeps the mix.
        chosen = chosen[:: max(len(chosen) // data.limit, 1)][: data.limit]
    return make_items(config, sample.curves.select(chosen), sample.target[chosen])


def items(config: TransientsRun, chunk: xr.Dataset) -> Items:
    """Items to predict from labelled data; targets are known where labels are.

    Raises:
        DataError: a band that the model does not know, or extinction already corrected otherwise.
    """
    curves = LightCurves.from_dataset(chunk)
    return make_items(config, curves, targets(curves.label.tolist(), config.data.classes))


def load_sample(data: TransientsData, folder: Path) -> Sample:
    """The light curves of a card, with the target of each object; the official protocol alone needs both samples.

    Raises:
        ConfigError: the official protocol for a card without a spectroscopic sample.
    """
    curves = load_curves(_files(folder, _PHOTOMETRIC.get(data.card)))
    spectroscopic = np.zeros(len(curves), np.bool_)
    if data.protocol == "official":
        if data.card not in _SPECTROSCOPIC:
            raise ConfigError(
                f"data.protocol: {data.card} has no spectroscopic sample of its own; expected representative or folds"
            )
        labelled = load_curves(_files(folder, _SPECTROSCOPIC[data.card]))
        curves = LightCurves.concat([curves, labelled])
        spectroscopic = np.concatenate([spectroscopic, np.ones(len(labelled), np.bool_)])
    return Sample(curves, targets(curves.label.tolist(), data.classes), spectroscopic)


def _files(folder: Path, patterns: Sequence[str] | None) -> list[Path]:
    if patterns is None:
        return [folder]
    found = {pattern: sorted(folder.glob(pattern)) for pattern in patterns}
    for pattern, paths in found.items():
        if not paths:
            raise DataError(
                "no such file",
                path=folder / pattern,
                advice=f"'armillary data show {folder.name}' says how to get it.",
            )
    return [path for paths in found.values() for path in paths]


def make_items(config: TransientsRun, curves: LightCurves, target: Int64[np.ndarray, " n"]) -> Items:
    """Items of the run's system. Objects without a detection are left out and named in `problems`."""
    curves = in_bands(curves, config.data.bands, drop=config.data.other_bands == "drop")
    if config.data.deredden:
        curves = deredden(curves)
    seen, problems = _with_detection(curves)
    curves, target = curves.select(seen), target[seen]
    if config.model.kind == "raw":
        from armillary.domains.transients.raw.items import RawItems

        return RawItems(config, curves, target, problems)
    from armillary.domains.transients.t2.items import T2Items

    return T2Items(config, curves, target, problems)


def in_bands(curves: LightCurves, bands: tuple[str, ...], drop: bool = False) -> LightCurves:
    """The same light curves with bands numbered as the model numbers them; `drop` leaves other bands out.

    Raises:
        DataError: an observation in a band that the model was not made for.
    """
    if curves.band == bands:
        return curves
    place = np.array([bands.index(name) if name in bands else -1 for name in curves.band], np.int8)
    index = place[curves.band_index]
    if drop:
        curves, index = curves.where(index >= 0), index[index >= 0]
    if (index < 0).any():
        unknown = sorted({curves.band[i] for i in np.unique(curves.band_index[index < 0])})
        raise DataError(
            f"observations in {', '.join(unknown)}, expected only {', '.join(bands)}",
            path=", ".join(json.loads(curves.attrs.get("sources", "[]"))) or None,
            advice="Use a run that was trained on this survey, or train one with data.other_bands=drop.",
        )
    return curves.renumbered(bands, index)


def _with_detection(curves: LightCurves) -> tuple[Int64[np.ndarray, " m"], list[DataError]]:
    counts = np.add.reduceat(np.r_[curves.detected, False].astype(np.int64), curves.offsets[:-1]) if len(curves) else []
    detections = np.where(curves.row_size > 0, counts, 0)
    problems = [
        DataError("no detection; expected at least one", item=str(curves.object_id[i]),
                  advice="An object is classified from its first detection on; it is left out.")
        for i in np.flatnonzero(detections == 0)
    ]  # fmt: skip
    return np.flatnonzero(detections > 0).astype(np.int64), problems
