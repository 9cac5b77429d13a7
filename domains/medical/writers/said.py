"""What a prediction says, whichever of the tasks it is of."""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Float64

AXES = ("label", "class", "structure")
SPACE = ("plane", "row", "column")


@dataclass(frozen=True)
class Masks:
    """One item's masks: probability (k, *s), what counts as found, and the distances of its pixels [mm, NaN unknown].

    What was filled up for another item's size is cut off.
    """

    names: tuple[str, ...]
    probability: Float[np.ndarray, "k *s"]
    found: Bool[np.ndarray, "k *s"]
    spacing_mm: tuple[float, ...]


def axis_of(prediction: xr.Dataset) -> str | None:
    """The axis of labels, classes or structures; None where nothing of the kind is told."""
    return next((name for name in AXES if name in prediction.dims), None)


def names_of(prediction: xr.Dataset) -> tuple[str, ...]:
    """Labels, classes or structures."""
    axis = axis_of(prediction)
    return () if axis is None else tuple(str(name) for name in prediction[axis].values)


def has_masks(prediction: xr.Dataset) -> bool:
    """Whether there is a probability at every pixel."""
    return "probability" in prediction and bool(set(SPACE) & set(prediction["probability"].dims))


def space_of(prediction: xr.Dataset, name: str) -> tuple[str, ...]:
    """Axes of space of a variable, planes first."""
    return tuple(axis for axis in SPACE if axis in prediction[name].dims)


def thresholds(prediction: xr.Dataset) -> Float64[np.ndarray, " k"]:
    """From which probability each name counts; 0.5 where the prediction does not say."""
    count = len(names_of(prediction))
    if "threshold" not in prediction:
        return np.full(count, 0.5)
    values = prediction["threshold"]
    if "item" in values.dims:
        values = values.isel(item=0)
    return values.values.astype(np.float64)


def pictures_of(prediction: xr.Dataset, name: str, place: int) -> Float[np.ndarray, "k *s"]:
    """The pictures of one item, (k, *s), without what was filled up with NaN."""
    axis = axis_of(prediction)
    space = space_of(prediction, name)
    values = prediction[name].isel(item=place).transpose(axis, *space).values
    inside = np.isfinite(values).all(0)
    ends = [int(indices.max()) + 1 if len(indices) else 0 for indices in np.nonzero(inside)]
    return values[(slice(None), *(slice(end) for end in ends))]


def masks_of(prediction: xr.Dataset, place: int) -> Masks:
    """The masks of one item."""
    probability = pictures_of(prediction, "probability", place)
    limit = thresholds(prediction).reshape(-1, *(1,) * (probability.ndim - 1))
    return Masks(names_of(prediction), probability, probability >= limit, spacing_of(prediction, place))


def spacing_of(prediction: xr.Dataset, place: int) -> tuple[float, ...]:
    """Distance of pixels along each axis [mm]; none where nothing is told."""
    if "spacing_mm" not in prediction:
        return ()
    return tuple(float(value) for value in np.atleast_1d(prediction["spacing_mm"].isel(item=place).values))


def file_of(prediction: xr.Dataset, place: int) -> str:
    """The file of an item, or its name where no file is told."""
    name = "file" if "file" in prediction.variables else "item"
    return str(prediction[name].values[place])
