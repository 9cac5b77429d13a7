"""Image files of a data set: what opens one, and which of those that a table lists are there."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from armillary.core.errors import DataError
from armillary.domains.medical.readers.report import Report, report_together
from armillary.domains.medical.readers.tables import Row
from armillary.domains.medical.sniff import named_kind, sniff
from armillary.domains.medical.sources import DicomSource, NiftiSource, RasterSource
from armillary.domains.medical.studies import ImageSource, Study

Made = tuple[Study, bool]  # a study, and whether its file is there


def image_of(path: Path) -> ImageSource:
    """The source for a file by its suffix, or else by its first bytes. A folder is a series of DICOM slices.

    Raises:
        DataError: a folder without files, or a file of no kind that holds one image.
    """
    if path.is_dir():
        slices = tuple(sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith(".")))
        if not slices:
            raise DataError("is a folder without files", item=path.name, advice="Expected slices of a DICOM series.")
        return DicomSource(slices)
    kind = named_kind(path) or (sniff(path) if path.is_file() else "raster")
    if kind == "array":
        advice = "Expected a picture, DICOM or NIfTI; stacks of arrays are sets of their own."
        raise DataError("is an array of NumPy", item=path.name, advice=advice)
    if kind == "nifti":
        return NiftiSource(path)
    return DicomSource((path,)) if kind == "dicom" else RasterSource(path)


def names_in(folders: Iterable[Path]) -> tuple[dict[str, Path], list[str]]:
    """(file name -> path over some folders, names that lie in more than one). Of those the first counts."""
    found: dict[str, Path] = {}
    twice: list[str] = []
    for folder in folders:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if not entry.name.startswith("."))
        twice += [name for name in names if name in found]
        found |= {name: folder / name for name in names if name not in found}
    return found, twice


def collect(
    rows: Iterable[tuple[int, Row]], make: Callable[[int, Row], Made | None], table: Path, report: Report
) -> list[Study]:
    """The studies of a table's rows, in their order.

    A row that cannot be used is reported; files that are missing, and names that come again, are reported together.
    None stands for a row that is not wanted.

    Raises:
        DataError: nothing is left.
    """
    kept: dict[str, Study] = {}
    missing: list[str] = []
    again: list[str] = []
    for study, there in _made(rows, make, table, report):
        if study.id in kept:
            again.append(study.id)
        elif there:
            kept[study.id] = study
        else:
            missing.append(study.id)
    report_together(report, again, "images listed twice", table, "The first row of each counts.")
    report_together(report, missing, "listed images whose files are missing", table, "They are left out.")
    if not kept:
        raise DataError(
            f"leads to no image that can be used ({len(missing)} files are missing)", path=table,
            advice="Check that the images lie in the card's folder, in the set's own layout.",
        )  # fmt: skip
    return list(kept.values())


def _made(
    rows: Iterable[tuple[int, Row]], make: Callable[[int, Row], Made | None], table: Path, report: Report
) -> Iterator[Made]:
    """What becomes of each row; a problem that does not say where it is gets the table and the row."""
    for row, cells in rows:
        try:
            made = make(row, cells)
        except DataError as error:
            report(DataError(error.problem, path=table, item=error.item, row=row, advice=error.advice))
            continue
        if made is not None:
            yield made
