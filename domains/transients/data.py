"""From a configuration to the items of a split, and from a chunk of files to items to predict."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from jaxtyping import Bool, Int64

from armillary.core.domain import Items, Split
from armillary.core.errors import DataError
from armillary.domains.transients.augment import changes
from armillary.domains.transients.extinction import deredden
from armillary.domains.transients.lightcurves import LightCurves
from armillary.domains.transients.settings import TransientsData, TransientsRun
from armillary.domains.transients.splits import split_objects, targets
from armillary.domains.transients.store import load_curves

# Files of a card that hold the survey's spectroscopic (labelled, biased) sample, where it has one of its own.
_SPECTROSCOPIC = {"spcc": ("spectro_train.tar.xz", "labels.csv.gz")}
_PHOTOMETRIC = {"spcc": ("photo_subset.tar.xz", "labels.csv.gz")}


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
    """The light curves of a card, with the target of each object."""
    photometric = load_curves([folder / name for name in _PHOTOMETRIC.get(data.card, ("",))])
    parts, marks = [photometric], [np.zeros(len(photometric), np.bool_)]
    if data.card in _SPECTROSCOPIC:
        spectroscopic = load_curves([folder / name for name in _SPECTROSCOPIC[data.card]])
        parts.append(spectroscopic)
        marks.append(np.ones(len(spectroscopic), np.bool_))
    curves = LightCurves.concat(parts) if len(parts) > 1 else photometric
    return Sample(curves, targets(curves.label.tolist(), data.classes), np.concatenate(marks))


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
