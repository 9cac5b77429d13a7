"""The image that a prediction is about: from the prediction itself, or read again from its file."""

from pathlib import Path

import numpy as np
import xarray as xr
from jaxtyping import Float32

from armillary.core.errors import DataError
from armillary.domains.medical.readers.files import image_of
from armillary.domains.medical.sources.warn import ignore
from armillary.domains.medical.writers.said import file_of, space_of


def image_shown(prediction: xr.Dataset, place: int, shape: tuple[int, ...]) -> Float32[np.ndarray, "c *s"] | None:
    """Grey values in [0, 1] of an item, channels first; None where no image of that shape can be had."""
    if "image" in prediction:
        space = space_of(prediction, "image")
        image = prediction["image"].isel(item=place).transpose("channel", *space).values
    else:
        path = Path(file_of(prediction, place))
        if not path.exists() or path.suffix.lower() in (".npz", ".npy"):
            return None
        try:
            image = image_of(path).load(ignore)  # pyright: ignore[reportCallIssue]
        except DataError:
            return None
    return np.asarray(image, np.float32) if image.shape[1:] == shape else None


def is_dicom(prediction: xr.Dataset, place: int) -> bool:
    """Whether the item was read from DICOM that is still there."""
    return prediction.attrs.get("kind") == "dicom" and Path(file_of(prediction, place)).exists()
