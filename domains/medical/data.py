"""From a configuration to the items of a split, and from images of files to items to predict."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import xarray as xr

from armillary.core.domain import Items, Split
from armillary.core.errors import DataError
from armillary.domains.medical.items import ImageItems
from armillary.domains.medical.readers.dataset import load_card
from armillary.domains.medical.settings import MedicalRun
from armillary.domains.medical.sources import LoadedSource
from armillary.domains.medical.studies import Study


def datasets(config: MedicalRun, folders: Mapping[str, Path], split: Split) -> Items:
    """One split of a run's data as items.

    Raises:
        DataError: a patient is in two splits, or nothing of the split can be used. ConfigError: the card has not what
            the run asks for.
    """
    data = config.data
    problems: list[DataError] = []
    studies = load_card(data.card, folders[data.card], data, problems.append)
    items = ImageItems(config, [study for study in studies if study.split == split], split, problems)
    if not len(items):
        told = f"; the first of {len(items.problems)} problems: {items.problems[0]}" if items.problems else ""
        raise DataError(f"the {split} split has no image that can be used{told}", path=folders[data.card])
    return items


def items(config: MedicalRun, chunk: xr.Dataset) -> Items:
    """Items to predict from images that were read; targets are known where the chunk has `target` (item, name).

    Images of another rank than the run's are problems of the items.
    """
    axes = [axis for axis in ("plane", "row", "column") if axis in chunk["image"].dims]
    images = np.asarray(chunk["image"].transpose("item", "channel", *axes).values, np.float32)
    studies = [_study(config, chunk, number, image) for number, image in enumerate(images)]
    return ImageItems(config, studies, cache_bytes=0, chunk=chunk)


def _study(config: MedicalRun, chunk: xr.Dataset, number: int, image: np.ndarray) -> Study:
    """One image of a chunk; its patient is nobody known."""
    spacing = chunk["spacing_mm"].values[number].tolist() if "spacing_mm" in chunk else ()
    wanted = len(config.data.names) if config.data.task in ("labels", "classes") else 0
    target = chunk["target"].values[number] if wanted and "target" in chunk else np.full(wanted, np.nan)
    return Study(
        str(chunk["item"].values[number]),
        LoadedSource(image),
        target=target.astype(np.float32),
        spacing_mm=tuple(spacing),
    )
