"""Slices of a DICOM series in the order in which they lie in the patient, and what is missing between them."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from armillary.core.errors import DataError
from armillary.domains.medical.readers.report import Report
from armillary.domains.medical.sources.dicom_header import Frame, frames_of

_SAME_DIRECTION = 1e-3  # how far direction cosines of one series differ at most
_SAME_PLACE = 1e-2  # share of the usual distance below which two slices lie at one place
_GAP = 0.05  # share by which a distance may differ from the usual one
_NAN = float("nan")
_ONE_SERIES = "Give the files of one series; a folder is sorted into its series when it is searched."


def group_series(paths: Iterable[Path], report: Report) -> list[tuple[Path, ...]]:
    """Files that belong together: slices of one series with one size and direction; each other file by itself.

    Scouts, which share the series but not the direction, come apart. Files that cannot be used are reported.
    """
    groups: dict[tuple[object, ...], list[Path]] = {}
    for path in paths:
        try:
            frames = frames_of(path)
        except DataError as error:
            report(error)
            continue
        first = frames[0]
        alone = len(frames) > 1 or not (first.placed and first.series)
        cosines = (*first.along_row, *first.along_column)
        key = (path,) if alone else (first.series, first.size, tuple(round(value, 2) + 0.0 for value in cosines))
        groups.setdefault(key, []).append(path)
    return [tuple(group) for group in groups.values()]


def in_order(frames: Sequence[Frame], report: Report) -> list[Frame]:
    """The planes sorted along their normal, one at each place; gaps and doubles are reported.

    Where positions are not told, the files' own numbers give the order.

    Raises:
        DataError: planes of several series, sizes or directions, or several at every place (phases, echoes).
    """
    _check_one_series(frames)
    path = frames[0].path
    if len(frames) == 1:
        return list(frames)
    if not all(frame.placed for frame in frames):
        if len({frame.path for frame in frames}) > 1:
            report(
                DataError(
                    "does not tell where its slices lie; they are in the order of their numbers",
                    path=path,
                    advice="Distances across slices are unknown.",
                )
            )
        return sorted(frames, key=lambda frame: (frame.instance, str(frame.path), frame.number))
    ordered = sorted(frames, key=lambda frame: (_height(frame), frame.instance, str(frame.path), frame.number))
    ordered = _without_doubles(ordered, report)
    _report_gaps(ordered, report)
    return ordered


def spacing_of(ordered: Sequence[Frame]) -> tuple[float, ...]:
    """(rows, columns), or (planes, rows, columns) for several planes: their usual distance [mm], NaN unknown."""
    rows, columns = ordered[0].spacing_mm
    if len(ordered) == 1:
        return rows, columns
    if not all(frame.placed for frame in ordered):
        return (ordered[0].between_mm if len({f.path for f in ordered}) == 1 else _NAN), rows, columns
    return float(np.median(_steps(ordered))), rows, columns


def affine_of(ordered: Sequence[Frame]) -> Float64[np.ndarray, "4 4"] | None:
    """From (column, row, plane, 1) to millimetres right, anterior and superior; None where that is not told."""
    first, last = ordered[0], ordered[-1]
    if not (first.placed and last.placed and all(np.isfinite(first.spacing_mm))):
        return None
    rows_mm, columns_mm = first.spacing_mm
    affine = np.eye(4)
    affine[:3, 0] = np.array(first.along_row) * columns_mm
    affine[:3, 1] = np.array(first.along_column) * rows_mm
    if len(ordered) > 1:
        affine[:3, 2] = (np.array(last.position) - np.array(first.position)) / (len(ordered) - 1)
    else:
        affine[:3, 2] = _normal(first) * (first.between_mm if np.isfinite(first.between_mm) else 1.0)
    affine[:3, 3] = first.position
    # DICOM counts towards the left and the back, NIfTI towards the right and the front.
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def _check_one_series(frames: Sequence[Frame]) -> None:
    first = frames[0]
    for frame in frames:
        if frame.series != first.series:
            raise DataError(f"is of another series than {first.path.name}", path=frame.path, advice=_ONE_SERIES)
        if frame.size != first.size:
            sizes = f"{frame.size[0]} x {frame.size[1]} pixels, {first.path.name} {first.size[0]} x {first.size[1]}"
            raise DataError(f"has {sizes}", path=frame.path, advice=_ONE_SERIES)
        if frame.placed and first.placed and not _parallel(frame, first):
            raise DataError(f"lies in another direction than {first.path.name}", path=frame.path, advice=_ONE_SERIES)


def _parallel(one: Frame, other: Frame) -> bool:
    differences = np.array(one.along_row + one.along_column) - np.array(other.along_row + other.along_column)
    return bool(np.abs(differences).max() < _SAME_DIRECTION)


def _without_doubles(ordered: list[Frame], report: Report) -> list[Frame]:
    steps = _steps(ordered)
    apart = steps[steps > 1e-6]
    smallest = _SAME_PLACE * float(np.median(apart)) if apart.size else float("inf")
    places = np.concatenate([[0], np.cumsum(steps > smallest)])
    counts = np.bincount(places)
    if counts.min() > 1:
        raise DataError(
            f"holds {counts.min()} images or more at each of {len(counts)} places (phases, echoes, times)",
            path=ordered[0].path, advice="Give the files of one of them.",
        )  # fmt: skip
    kept = [frame for number, frame in enumerate(ordered) if number == 0 or places[number] != places[number - 1]]
    if len(kept) < len(ordered):
        double = next(f for n, f in enumerate(ordered) if n and places[n] == places[n - 1])
        report(
            DataError(
                f"{len(ordered) - len(kept)} of {len(ordered)} slices lie where another one does; the first is kept",
                path=double.path,
            )
        )
    return kept


def _report_gaps(ordered: Sequence[Frame], report: Report) -> None:
    steps = _steps(ordered)
    usual = float(np.median(steps))
    wrong = np.flatnonzero(np.abs(steps - usual) > _GAP * usual)
    if wrong.size:
        place = int(wrong[0])
        report(
            DataError(
                f"slices are {usual:g} mm apart, but {steps[place]:g} mm between {ordered[place].path.name} and the "
                f"next, {wrong.size} time(s) in all: slices are missing or unevenly spaced",
                path=ordered[place + 1].path,
                advice="Volumes and distances across slices are wrong there.",
            )
        )


def _steps(ordered: Sequence[Frame]) -> Float64[np.ndarray, " m"]:
    """Distance of each plane to the next along the normal [mm]."""
    return np.diff(np.array([_height(frame) for frame in ordered], np.float64))


def _height(frame: Frame) -> float:
    return float(np.dot(frame.position, _normal(frame)))


def _normal(frame: Frame) -> Float64[np.ndarray, "3"]:
    return np.cross(np.array(frame.along_row, np.float64), np.array(frame.along_column, np.float64))
