"""The planes of a DICOM image or series, read in order. pydicom is slow to import: import this late."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from armillary.core.errors import DataError
from armillary.domains.medical.readers.report import Report
from armillary.domains.medical.sources.dicom_header import Frame, frames_of, read_dicom, report_identity
from armillary.domains.medical.sources.dicom_pixels import Window, decoded, windowed
from armillary.domains.medical.sources.dicom_series import in_order


def ordered_frames(paths: Sequence[Path], report: Report) -> list[Frame]:
    """Planes of all files, sorted, by their headers.

    Raises:
        DataError: there is no file, or one that cannot be used; several series.
    """
    if not paths:
        raise DataError("a DICOM series without files", advice="Name its slices.")
    return in_order([frame for path in paths for frame in frames_of(path)], report)


def grey_planes(
    ordered: Sequence[Frame], window: Window | None, report: Report
) -> Float32[np.ndarray, "c n rows columns"]:
    """All planes in order with the window of the first for all: grey values in [0, 1], or three channels of colour."""
    top = ordered[0].path
    first = read_dicom(top, pixels=True)
    report_identity(first, top, report)
    planes = decoded(first, top)
    out = np.empty((len(planes), len(ordered), *ordered[0].size), np.float32)
    places: dict[Path, list[int]] = {}
    for place, frame in enumerate(ordered):
        places.setdefault(frame.path, []).append(place)
    for path, own in places.items():
        if path != top:
            planes = decoded(read_dicom(path, pixels=True), path)
        if len(planes) != len(out):
            raise DataError(f"has {len(planes)} channels, {top.name} has {len(out)}", path=path)
        out[:, own] = planes[:, [ordered[place].number for place in own]]
    return out if len(out) == 3 else windowed(out[0], first, window, top, report)[None]
