"""Masks of volumes as NIfTI, as the file they were found in lies. nibabel is slow to import: import this late."""

from pathlib import Path

import nibabel
import numpy as np
import xarray as xr
from jaxtyping import Bool, Float64

from armillary.core.files import atomic_write
from armillary.domains.medical.notice import NOTICE
from armillary.domains.medical.sources.nifti_read import nifti_of


def write_nifti(path: Path, mask: Bool[np.ndarray, "planes rows columns"], prediction: xr.Dataset, place: int) -> None:
    """1 inside, 0 outside, in voxels of a byte; attrs["affine"] and attrs["orientation"] of what was read are kept."""
    affine = affine_of(prediction, place)
    image = nifti_of(mask.astype(np.uint8), affine, str(prediction.attrs.get("orientation", "LPS")))
    image.header["descrip"] = NOTICE.encode()
    image.header["cal_max"] = 1.0
    with atomic_write(path) as temporary:
        nibabel.save(image, temporary)


def affine_of(prediction: xr.Dataset, place: int) -> Float64[np.ndarray, "4 4"]:
    """From (column, row, plane, 1) to millimetres right, anterior, superior: as read, else from the spacing alone.

    Where not even that is known, voxels are one millimetre apart.
    """
    told = prediction["affine"].isel(item=place).values if "affine" in prediction else prediction.attrs.get("affine")
    if told is not None:
        return np.asarray(told, np.float64).reshape(4, 4)
    steps = np.ones(3)
    if "spacing_mm" in prediction:
        spacing = np.atleast_1d(prediction["spacing_mm"].isel(item=place).values).astype(np.float64)
        if len(spacing) == 3 and np.isfinite(spacing).all():
            steps = spacing[::-1]
    # Columns go to the left and rows to the back.
    return np.diag([-steps[0], -steps[1], steps[2], 1.0])
