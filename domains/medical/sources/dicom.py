"""DICOM images and series of slices."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64

from armillary.core.errors import DataError
from armillary.domains.medical.readers.report import Report
from armillary.domains.medical.sources.grey import tell_strange
from armillary.domains.medical.sources.guard import reading
from armillary.domains.medical.sources.warn import ignore, warn


@dataclass(frozen=True)
class DicomSource:
    """One file, or the slices of one series as a volume; files of several frames are volumes too.

    window: centre and width in the units of the modality, in place of the files' own. Volumes have the direction in
    which they were taken: planes along their normal, (planes, rows, columns). The window of a series is that of its
    lowest slice; frames without positions (a film of time) keep their order.
    """

    paths: tuple[Path, ...]
    window: tuple[float, float] | None = None

    def load(self, report: Report = warn) -> Float32[np.ndarray, "c *s"]:
        """Grey values in [0, 1] after rescaling, window and photometry; three channels of colour.

        Reported: a patient who is named, gaps and doubled slices, one grey value all over.

        Raises:
            DataError: no DICOM, no pixels, an absent decoder, several series, or damage.
        """
        from armillary.domains.medical.sources.dicom_read import grey_planes, ordered_frames

        told: list[DataError] = []
        try:
            with reading(self._first(), "DICOM", private=True):
                image = grey_planes(ordered_frames(self.paths, told.append), self.window, told.append)
        finally:
            # Not before: inside of the block decoders' warnings are kept quiet, and with them ours.
            for problem in told:
                report(problem)
        image = image[:, 0] if image.shape[1] == 1 else image
        tell_strange(image, self._first(), report)
        return image

    def shape(self) -> tuple[int, ...]:
        """(rows, columns) or (planes, rows, columns), from the headers of all files."""
        from armillary.domains.medical.sources.dicom_read import ordered_frames

        ordered = ordered_frames(self.paths, ignore)
        return ordered[0].size if len(ordered) == 1 else (len(ordered), *ordered[0].size)

    def spacing_mm(self) -> tuple[float, ...]:
        """Of (planes,) rows and columns; across slices by their positions."""
        from armillary.domains.medical.sources.dicom_read import ordered_frames
        from armillary.domains.medical.sources.dicom_series import spacing_of

        return spacing_of(ordered_frames(self.paths, ignore))

    def affine(self) -> Float64[np.ndarray, "4 4"] | None:
        """From (column, row, plane, 1) to millimetres right, anterior, superior; None where that is not told."""
        from armillary.domains.medical.sources.dicom_read import ordered_frames
        from armillary.domains.medical.sources.dicom_series import affine_of

        return affine_of(ordered_frames(self.paths, ignore))

    def _first(self) -> Path:
        if not self.paths:
            raise DataError("a DICOM series without files", advice="Name its slices.")
        return self.paths[0]
