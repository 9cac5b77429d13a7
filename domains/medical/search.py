"""Which images are meant by paths of files and folders."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from armillary.core.errors import DataError
from armillary.domains.medical.readers.report import Report, report_together
from armillary.domains.medical.sniff import KNOWN, Kind, named_kind, sniff


@dataclass(frozen=True)
class Found:
    """One image file, or the slices of one series. item: its path from the folder that was given, with slashes."""

    item: str
    paths: tuple[Path, ...]
    kind: Kind


def find_images(paths: Sequence[Path], report: Report) -> Iterator[Found]:
    """Each image that is given or lies in a folder that is given, none twice; slices of one series are one image.

    Of folders, hidden files are passed over, and so are files of other kinds unless they are named like an image.
    Pictures of one bit are taken for masks there and left out with a report; given by themselves, they are read.
    """
    seen: set[Path] = set()
    for given in map(Path, paths):
        slices: list[Path] = []
        for path, kind in _files(given, report):
            if path in seen:
                continue
            seen.add(path)
            if kind == "dicom":
                slices.append(path)
            else:
                yield Found(_name(path, given), (path,), kind)
        yield from _series(slices, given, report)


def _files(given: Path, report: Report) -> Iterator[tuple[Path, Kind]]:
    if not given.exists():
        report(DataError("does not exist", path=given, advice="Check the path."))
    elif given.is_dir():
        yield from _in_folder(given, report)
    else:
        try:
            yield given, sniff(given)
        except DataError as error:
            report(error)


def _in_folder(folder: Path, report: Report) -> Iterator[tuple[Path, Kind]]:
    from armillary.domains.medical.sources.raster import is_one_bit

    masks: list[str] = []
    found = False
    for path in sorted(folder.rglob("*")):
        if any(part.startswith(".") for part in path.relative_to(folder).parts) or not path.is_file():
            continue
        try:
            kind = sniff(path)
        except DataError as error:
            if named_kind(path):
                found = True
                report(error)
            continue
        # Archives of other things begin as arrays do, and DICOMDIR lists a folder's files.
        if (kind == "array" and not named_kind(path)) or path.name.upper() == "DICOMDIR":
            continue
        found = True
        if kind == "raster" and is_one_bit(path):
            masks.append(_name(path, folder))
        else:
            yield path, kind
    report_together(
        report, masks, "pictures of one bit are taken for masks", folder, "Name such a file itself to have it read."
    )
    if not found:
        report(DataError("holds no images", path=folder, advice=f"Expected {KNOWN}."))


def _series(slices: Sequence[Path], given: Path, report: Report) -> Iterator[Found]:
    if not slices:
        return
    # Here: it brings in pydicom, which is slow to import.
    from armillary.domains.medical.sources.dicom_series import group_series

    for paths in group_series(slices, report):
        yield Found(_name(paths[0], given), paths, "dicom")


def _name(path: Path, given: Path) -> str:
    return path.relative_to(given).as_posix() if given.is_dir() else path.name
