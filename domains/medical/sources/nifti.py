"""Volumes of NIfTI."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64

from armillary.core.errors import DataError
from armillary.domains.medical.readers.report import Report
from armillary.domains.medical.sources.grey import percentiles, scaled, tell_strange
from armillary.domains.medical.sources.warn import warn


@dataclass(frozen=True)
class NiftiSource:
    """A volume (planes, rows, columns), turned by quarters so that planes go up, rows back and columns left.

    window: centre and width in the file's own values; None: the 0.5th to the 99.5th percentile. NaN and infinite
    voxels become 0 (black) with a report, as they stand for "no value" at borders of maps. A file is read plane by
    plane: memory is four bytes a voxel, and what is not compressed is mapped.
    """

    path: Path
    window: tuple[float, float] | None = None

    def load(self, report: Report = warn) -> Float32[np.ndarray, "1 planes rows columns"]:
        """Grey values in [0, 1].

        Raises:
            DataError: no NIfTI, damaged, of four dimensions, of colours, a singular affine, or no finite voxel.
        """
        from armillary.domains.medical.sources.nifti_read import voxels

        volume = voxels(self.path, report)
        low, high = self._ends(volume)
        finite = np.isfinite(volume)
        missing = int(volume.size - np.count_nonzero(finite))
        if missing == volume.size:
            raise DataError("has no finite voxel", path=self.path, advice="The volume is left out.")
        if missing:
            volume[~finite] = low
            problem = f"{missing} of {volume.size} voxels are NaN or infinite; they are read as black"
            report(DataError(problem, path=self.path))
        volume = scaled(volume, low, high)
        tell_strange(volume, self.path, report)
        return volume[None]

    def shape(self) -> tuple[int, ...]:
        """(planes, rows, columns) by the header."""
        from armillary.domains.medical.sources.nifti_read import shape_of

        return shape_of(self.path)

    def spacing_mm(self) -> tuple[float, ...]:
        """Of planes, rows and columns."""
        columns, rows, planes = np.linalg.norm(self.affine()[:3, :3], axis=0).tolist()
        return planes, rows, columns

    def affine(self) -> Float64[np.ndarray, "4 4"]:
        """From (column, row, plane, 1) to millimetres right, anterior, superior."""
        from armillary.domains.medical.sources.nifti_read import affine_of

        return affine_of(self.path)

    def orientation(self) -> str:
        """Where the axes of the file itself point, such as "RAS"."""
        from armillary.domains.medical.sources.nifti_read import orientation_of

        return orientation_of(self.path)

    def _ends(self, volume: Float32[np.ndarray, "planes rows columns"]) -> tuple[float, float]:
        if self.window is None:
            return percentiles(volume)
        centre, width = self.window
        return centre - width / 2, centre + width / 2


@dataclass(frozen=True)
class NiftiMask:
    """A structure drawn in a volume, turned as the image: what is not 0, or what equals `value`."""

    path: Path
    value: int | None = None

    def load(self, report: Report = warn) -> Float32[np.ndarray, "planes rows columns"]:
        """1 inside the structure, 0 outside.

        Raises:
            DataError: as of a volume, or voxels that are not finite.
        """
        from armillary.domains.medical.sources.nifti_read import voxels

        volume = voxels(self.path)
        if not np.isfinite(volume).all():
            raise DataError("is a mask with NaN or infinite voxels", path=self.path, advice="Store integers.")
        return (volume != 0 if self.value is None else np.rint(volume) == self.value).astype(np.float32)

    def shape(self) -> tuple[int, ...]:
        """(planes, rows, columns) by the header."""
        return NiftiSource(self.path).shape()

    def spacing_mm(self) -> tuple[float, ...]:
        """Of planes, rows and columns."""
        return NiftiSource(self.path).spacing_mm()

    def affine(self) -> Float64[np.ndarray, "4 4"]:
        """From (column, row, plane, 1) to millimetres right, anterior, superior."""
        return NiftiSource(self.path).affine()
