"""Outputs of a model, batch by batch, as one labelled Dataset: probabilities, scores of masks, or errors of filling."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
import xarray as xr
from jaxtyping import Float32

from armillary.core.domain import Items
from armillary.domains.medical.notice import NOTICE
from armillary.domains.medical.settings import MedicalRun

Outputs = Sequence[Mapping[str, np.ndarray]]
Variables = dict[str, Any]

AXIS = {"labels": "label", "classes": "class", "masks": "structure"}  # of what a run tells, by its task
SPACE = ("plane", "row", "column")
_SCORES = ("dice", "iou", "hd95", "volume_share")  # of a mask
_ERRORS = ("masked_error", "mean_error")
_TEXTS = ("sex", "view")


@runtime_checkable
class KnownItems(Items, Protocol):
    """Images and what is known of them.

    targets (n, k): 1, 0 or NaN (unknown) of each label or class. known: sex, view, age_years (n,), spacing_mm (n, r).
    chunk: files that are predicted, as they were read, one of its items for each id here; None for a set's images.
    """

    targets: np.ndarray
    known: Mapping[str, np.ndarray]
    chunk: xr.Dataset | None


def assemble(config: MedicalRun, items: Items, outputs: Outputs) -> xr.Dataset:
    """Records in the order of the items, each with its patient as `group` and, where known, sex, age and view.

    labels, classes: probability and target (item, label or class), threshold, present (probability >= threshold), and
    uncertainty and map where they were asked for; classes also truth (item), -1 where unknown. masks: dice, iou, hd95
    (item, structure), spacing_mm (item, axis), or probability (item, structure, row, column) where no mask is known.
    pretrain: masked_error, mean_error (item). Files come with what was read beside the pixels, and maps and masks at
    the file's own size.
    """
    known = cast(KnownItems, items)
    axis = AXIS.get(config.data.task)
    variables = _who(known)
    if axis in ("label", "class"):
        variables |= _answers(known, outputs, axis)
    elif axis == "structure":
        variables |= _rows(outputs, dict.fromkeys(_SCORES, (axis,)))
        variables |= _spacing(known)
        variables |= _threshold(outputs, axis)
    else:
        variables |= _rows(outputs, dict.fromkeys(_ERRORS, ()))
    variables |= _pictures(config, outputs, axis, known.chunk)
    if config.data.task == "pretrain":
        variables |= _fillings(config, outputs)
    coordinates: Variables = {"item": np.asarray(items.ids).astype(np.str_)}
    if axis is not None:
        coordinates[axis] = list(config.data.names)
    records = xr.Dataset(variables, coordinates, {"recipe": config.recipe, "notice": NOTICE})
    if "hd95" in records:
        records["hd95"].attrs["units"] = "mm, or px where spacing_mm is unknown"
    return records if known.chunk is None else _with_file(records, known.chunk)


def _who(items: KnownItems) -> Variables:
    """Patient, sex, view, age [years] of each item."""
    variables: Variables = {"group": ("item", np.asarray(items.groups).astype(np.str_))}
    for name in _TEXTS:
        if name in items.known:
            variables[name] = ("item", np.asarray(items.known[name]).astype(np.str_))
    if "age_years" in items.known:
        variables["age_years"] = ("item", np.asarray(items.known["age_years"], np.float32), {"units": "years"})
    return variables


def _answers(items: KnownItems, outputs: Outputs, axis: str) -> Variables:
    """Probabilities and what they are compared with."""
    target = np.asarray(items.targets, np.float32)
    variables: Variables = {"target": (("item", axis), target)}
    if axis == "class":
        variables["truth"] = ("item", truth_of(target))
    variables |= _rows(outputs, {"probability": (axis,), "uncertainty": (axis,)})
    variables |= _threshold(outputs, axis)
    if "threshold" in variables:
        variables["present"] = (("item", axis), variables["probability"][1] >= variables["threshold"][1])
    return variables


def _threshold(outputs: Outputs, axis: str) -> Variables:
    """From which probability each name counts: the same for all items."""
    return {"threshold": (axis, outputs[0]["threshold"][0])} if outputs and "threshold" in outputs[0] else {}


def _spacing(items: KnownItems) -> Variables:
    """Distance of the stored pixels along each axis [mm], NaN unknown."""
    spacing = np.asarray(items.known["spacing_mm"], np.float32)
    axes = list(SPACE[-spacing.shape[1] :])
    return {"spacing_mm": (("item", "axis"), spacing, {"units": "mm"}), "axis": ("axis", axes)}


def truth_of(target: Float32[np.ndarray, "n k"]) -> np.ndarray:
    """The class of each one-hot row (n,), -1 where it is unknown (NaN)."""
    # A row with a NaN has a sum that is one.
    known = np.isfinite(target.sum(1))
    return np.where(known, np.nan_to_num(target).argmax(1), -1).astype(np.int64)


def _pictures(config: MedicalRun, outputs: Outputs, axis: str | None, chunk: xr.Dataset | None) -> Variables:
    """Outputs with one number a pixel: probabilities of masks, and where a classifier looked."""
    name = "probability" if config.data.task == "masks" else "map"
    if axis is None or not outputs or name not in outputs[0]:
        return {}
    order = _order(outputs)
    values = joined([output[name] for output in outputs])[order]
    if chunk is not None:
        # A volume of one plane may have been read as a picture.
        values = resized(values, chunk["image"].shape[-(values.ndim - 2) :])
    return {name: (("item", axis, *SPACE[-(values.ndim - 2) :]), values)}


def _fillings(config: MedicalRun, outputs: Outputs) -> Variables:
    """Images with hidden patches filled in, and which pixels were hidden, at each of predict.ratios."""
    if not outputs or "reconstruction" not in outputs[0]:
        return {}
    order = _order(outputs)
    filled, hidden = (
        np.concatenate([output[name] for output in outputs])[order] for name in ("reconstruction", "hidden")
    )
    space = SPACE[-(filled.ndim - 3) :]
    return {
        "reconstruction": (("item", "ratio", "channel", *space), filled),
        "hidden": (("item", "ratio", *space), hidden),
        "ratio": ("ratio", list(config.predict.ratios)),
    }


def joined(parts: Sequence[Float32[np.ndarray, "..."]]) -> Float32[np.ndarray, "..."]:
    """Pictures of several batches in one array; smaller ones are filled up with NaN at the far ends."""
    size = np.max([part.shape[1:] for part in parts], 0)
    if all(part.shape[1:] == tuple(size) for part in parts):
        return np.concatenate(parts)
    whole = np.full((sum(map(len, parts)), *size), np.nan, np.float32)
    start = 0
    for part in parts:
        whole[(slice(start, start + len(part)), *(slice(extent) for extent in part.shape[1:]))] = part
        start += len(part)
    return whole


def resized(values: Float32[np.ndarray, "n k *s"], size: Sequence[int]) -> Float32[np.ndarray, "n k *t"]:
    """Pictures at another size, linearly between the centres of their pixels; as they are where they have it."""
    if values.shape[2:] == tuple(size):
        return values
    # Only predictions of files at another size than the network's come here: records alone need no torch.
    from torch import from_numpy
    from torch.nn import functional

    mode = "trilinear" if len(size) == 3 else "bilinear"
    return functional.interpolate(from_numpy(values), size=tuple(size), mode=mode, align_corners=False).numpy()


def _with_file(records: xr.Dataset, chunk: xr.Dataset) -> xr.Dataset:
    """The records with all that was read beside the pixels: spacing, file, orientation, affine."""
    beside = chunk.drop_dims([name for name in ("channel", *SPACE) if name in chunk.dims])
    # Not all that was read could be used.
    place = {str(name): number for number, name in enumerate(chunk["item"].values)}
    beside = beside.isel(item=[place[str(name)] for name in records["item"].values])
    beside = beside.drop_vars([name for name in records.variables if name in beside.variables])
    return records.assign(beside.variables).assign_attrs({**chunk.attrs, **records.attrs})


def _rows(outputs: Outputs, axes: Mapping[str, tuple[str, ...]]) -> Variables:
    """Outputs with one row an item, in the order of the items; those that a model does not give are left out."""
    if not outputs:
        return {}
    order = _order(outputs)
    return {
        name: (("item", *rest), np.concatenate([output[name] for output in outputs])[order].astype(np.float32))
        for name, rest in axes.items()
        if name in outputs[0]
    }


def _order(outputs: Outputs) -> np.ndarray:
    return np.argsort(np.concatenate([output["index"] for output in outputs]))
