"""Whether the files of images and masks fit together, by their headers, before any pixel is read."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from armillary.core.errors import DataError
from armillary.domains.medical.readers.report import Report
from armillary.domains.medical.settings import MedicalData
from armillary.domains.medical.sources import Measured
from armillary.domains.medical.studies import Study

_SAME_MM = 0.1  # how far the corners of a mask may lie from those of its image


@dataclass(frozen=True)
class Checked:
    """A study whose headers are in order.

    shape: of the stored image as it is used, without the one plane that a run on pictures leaves out; empty where only
    loading tells. spacing_mm: of its axes, NaN unknown.
    """

    study: Study
    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]


def checked(studies: Sequence[Study], data: MedicalData, report: Report) -> list[Checked]:
    """The studies that can be used as far as headers tell; each other one is reported, with its name."""
    found: list[Checked] = []
    for study in studies:
        try:
            found.append(_check(study, data))
        except DataError as error:
            report(named(error, study.id))
    return found


def named(error: DataError, item: str) -> DataError:
    """The error with the name of the item that it spoils."""
    return DataError(
        error.problem, path=error.path, item=item, row=error.row, card=error.card,
        advice=error.advice or "The image is left out.",
    )  # fmt: skip


def used_shape(shape: tuple[int, ...], rank: int, path: Any = None) -> tuple[int, ...]:
    """A stored image's shape as a run of `rank` axes uses it: one plane is a picture.

    Raises:
        DataError: a volume where pictures are expected, or the other way round.
    """
    if len(shape) == 3 and rank == 2 and shape[0] == 1:
        shape = shape[1:]
    if len(shape) != rank:
        kinds = {2: "a picture (rows, columns)", 3: "a volume (planes, rows, columns)"}
        raise DataError(
            f"is {kinds.get(len(shape), 'an image')} of {' x '.join(map(str, shape))}, and the run reads {kinds[rank]}",
            path=path, advice="Set data.size or data.patch to as many numbers as the images have axes.",
        )  # fmt: skip
    return shape


def path_of(source: object) -> Any:
    """The file of a source, or the first of several; None of one without."""
    paths = getattr(source, "paths", None) or (getattr(source, "path", None),)
    return paths[0]


def _check(study: Study, data: MedicalData) -> Checked:
    if data.task == "masks" and study.masks and len(study.masks) != len(data.names):
        raise DataError(f"has {len(study.masks)} masks; expected one for each of {', '.join(data.names)}")
    if data.task in ("labels", "classes") and len(study.target) not in (0, len(data.names)):
        raise DataError(f"has {len(study.target)} targets; expected one for each of {', '.join(data.names)}")
    source = study.image
    if not isinstance(source, Measured):
        return Checked(study, (), _own(study, data.rank) or (float("nan"),) * data.rank)
    shape = source.shape()
    used = used_shape(shape, data.rank, path_of(source))
    if data.task == "masks":
        for mask in study.masks:
            _check_mask(mask, source, shape)
    spacing = _own(study, data.rank) or source.spacing_mm()[-data.rank :]
    return Checked(study, used, spacing)


def _own(study: Study, rank: int) -> tuple[float, ...]:
    """The spacing that a table tells; () where it does not."""
    told = study.spacing_mm
    return tuple(told[-rank:]) if len(told) >= rank and np.isfinite(told[-rank:]).all() else ()


def _check_mask(mask: object, source: Measured, shape: tuple[int, ...]) -> None:
    if not isinstance(mask, Measured):
        return
    if mask.shape() != shape:
        raise unlike(mask, mask.shape(), shape)
    own, other = (getattr(one, "affine", None) for one in (mask, source))
    if own is None or other is None:
        return
    here, there = own(), other()
    if here is None or there is None:
        return
    corner = np.array([*shape[::-1], 1.0])
    apart = max(np.abs((here - there) @ np.array([0, 0, 0, 1.0])).max(), np.abs((here - there) @ corner).max())
    if apart > _SAME_MM:
        raise DataError(
            f"is a mask that lies {apart:.3g} mm away from its image", path=path_of(mask),
            advice="Resample the mask onto the grid of the image. The image is left out.",
        )  # fmt: skip


def unlike(mask: object, got: tuple[int, ...], expected: tuple[int, ...]) -> DataError:
    """The problem of a mask whose size is not that of its image."""
    sizes = (" x ".join(map(str, size)) for size in (got, expected))
    return DataError(
        "is a mask of {} pixels, its image has {}".format(*sizes), path=path_of(mask),
        advice="Masks are drawn on the image as it is stored. The image is left out.",
    )  # fmt: skip
