"""Predictions as a table: one row an image, with the sentence that it is not for diagnosis in each."""

from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float64

from armillary.core.files import advised, atomic_write
from armillary.domains.medical.notice import NOTICE
from armillary.domains.medical.writers.said import (
    axis_of,
    file_of,
    has_masks,
    masks_of,
    names_of,
    space_of,
    spacing_of,
    thresholds,
)

_SCORES = ("uncertainty", "dice", "iou", "hd95", "volume_share")
_ERRORS = ("masked_error", "mean_error")


def table(prediction: xr.Dataset) -> pd.DataFrame:
    """One row an item; columns have the name of their label, class or structure at the end.

    file; of labels and classes probability_, threshold_, present_ (at or above it), uncertainty_, and predicted (the
    likeliest class); of masks share_ (of the image), and area_mm2_ or volume_ml_ (empty where spacing is unknown),
    or dice_, iou_, hd95_ against known masks; masked_error and mean_error of pre-training; notice.
    """
    count, names, axis = prediction.sizes["item"], names_of(prediction), axis_of(prediction)
    columns: dict[str, object] = {"file": [file_of(prediction, place) for place in range(count)]}
    if "probability" in prediction:
        columns |= _sizes(prediction) if has_masks(prediction) else _answers(prediction)
    for score in _SCORES:
        if score in prediction:
            values = prediction[score].transpose("item", axis).values
            columns |= {f"{score}_{name}": values[:, k] for k, name in enumerate(names)}
    columns |= {error: prediction[error].values for error in _ERRORS if error in prediction}
    return pd.DataFrame(columns | {"notice": [NOTICE] * count})


def _answers(prediction: xr.Dataset) -> dict[str, object]:
    axis, names = axis_of(prediction), names_of(prediction)
    probability = prediction["probability"].transpose("item", axis).values
    limit = thresholds(prediction)
    columns: dict[str, object] = {f"probability_{name}": probability[:, k] for k, name in enumerate(names)}
    columns |= {f"threshold_{name}": np.full(len(probability), limit[k]) for k, name in enumerate(names)}
    columns |= {f"present_{name}": (probability[:, k] >= limit[k]).astype(int) for k, name in enumerate(names)}
    if axis == "class":
        columns["predicted"] = np.array(names, object)[probability.argmax(1)]
    return columns


def _sizes(prediction: xr.Dataset) -> dict[str, object]:
    """How large each mask is."""
    volumes = len(space_of(prediction, "probability")) > 2
    size, scale = ("volume_ml", 1e-3) if volumes else ("area_mm2", 1.0)
    share, extent = _measured(prediction)
    names = names_of(prediction)
    columns: dict[str, object] = {f"share_{name}": share[:, k] for k, name in enumerate(names)}
    return columns | {f"{size}_{name}": scale * extent[:, k] for k, name in enumerate(names)}


def _measured(prediction: xr.Dataset) -> tuple[Float64[np.ndarray, "n k"], Float64[np.ndarray, "n k"]]:
    """Share of each mask in its image, and its area [mm^2] or volume [mm^3], NaN where spacing is unknown."""
    shape = (prediction.sizes["item"], len(names_of(prediction)))
    share, extent = np.zeros(shape), np.zeros(shape)
    for place in range(shape[0]):
        masks = masks_of(prediction, place)
        pixels = masks.found.reshape(shape[1], -1).sum(1)
        spacing = spacing_of(prediction, place)
        share[place] = pixels / max(masks.found[0].size, 1)
        extent[place] = pixels * (np.prod(spacing) if len(spacing) == masks.found.ndim - 1 else np.nan)
    return share, extent


@contextmanager
def stream_csv(path: Path) -> Generator[Callable[[xr.Dataset], None], None, None]:
    """Takes predictions chunk by chunk into one table; the file appears when the block ends well."""
    with ExitStack() as stack:
        with advised(path):
            temporary = stack.enter_context(atomic_write(path))
            stream = stack.enter_context(temporary.open("w", encoding="utf-8", newline=""))

        def append(prediction: xr.Dataset) -> None:
            with advised(path):
                header = stream.tell() == 0
                table(prediction).to_csv(stream, index=False, header=header, float_format="%.6g", lineterminator="\n")

        yield append
        with advised(path):
            stack.close()
