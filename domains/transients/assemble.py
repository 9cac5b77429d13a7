"""Outputs of a model, batch by batch, as one labelled Dataset of predictions."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from armillary.core.domain import Items
from armillary.domains.transients.lightcurves import ragged_rows
from armillary.domains.transients.settings import TransientsRun

# Outputs with one row an item: their other axes.
_PER_ITEM: Mapping[str, tuple[str, ...]] = {
    "probability": ("class",),
    "open_set_score": (),
    "early_probability": ("day", "class"),
    "activation_map": ("class", "time_step"),
}
_UNITS = {"day": "d", "track_time": "d"}


def assemble(config: TransientsRun, items: Items, outputs: Sequence[Mapping[str, np.ndarray]]) -> xr.Dataset:
    """Predictions in the order of the items, with truth (-1: unknown) and the group of each.

    Tracks, where asked for, are contiguous ragged along `observation`; `track_row_size` tells their lengths.
    """
    names = tuple(config.data.classes)
    order = np.argsort(np.concatenate([output["index"] for output in outputs])) if outputs else np.zeros(0, np.int64)
    variables: dict[str, tuple[tuple[str, ...], np.ndarray]] = {
        "truth": (("item",), np.asarray(items.targets, np.int64)),  # pyright: ignore[reportAttributeAccessIssue]
        "group": (("item",), np.asarray(items.groups)),
    }
    for name, axes in _PER_ITEM.items():
        if outputs and name in outputs[0]:
            variables[name] = (("item", *axes), np.concatenate([output[name] for output in outputs])[order])
    if outputs and "track_probability" in outputs[0]:
        variables |= _tracks(outputs, order)
    dataset = xr.Dataset(variables, {"item": np.asarray(items.ids), "class": list(names)}, {"recipe": config.recipe})
    if "day" in dataset.dims:
        dataset = dataset.assign_coords(day=("day", list(config.predict.days)))  # pyright: ignore[reportAttributeAccessIssue]
    for name, unit in _UNITS.items():
        if name in dataset.variables:
            dataset[name].attrs["units"] = unit
    return dataset


def _tracks(
    outputs: Sequence[Mapping[str, np.ndarray]], order: np.ndarray
) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    """Padded tracks of all batches as one ragged one, in the order of the items."""
    masks = [output["track_mask"] > 0 for output in outputs]
    sizes = np.concatenate([mask.sum(1) for mask in masks])
    starts = np.cumsum(sizes) - sizes
    rows = ragged_rows(starts[order], sizes[order])
    flat = {
        name: np.concatenate([output[name][mask] for output, mask in zip(outputs, masks, strict=True)])[rows]
        for name in ("track_probability", "track_time")
    }
    return {
        "track_probability": (("observation", "class"), flat["track_probability"]),
        "track_time": (("observation",), flat["track_time"]),
        "track_row_size": (("item",), sizes[order].astype(np.int64)),
    }
