"""Read survey files of any kind the domain knows, as chunks of labelled light curves."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xarray as xr

from armillary.core.domain import ReadOptions
from armillary.core.errors import DataError
from armillary.domains.transients.readers.alerts import join_packets, parse_alerts
from armillary.domains.transients.readers.archives import Document, members, read_small
from armillary.domains.transients.readers.blocks import read_blocks
from armillary.domains.transients.readers.plasticc import COLUMNS, read_plasticc
from armillary.domains.transients.readers.plasticc_metadata import companion
from armillary.domains.transients.readers.records import Record, chunks
from armillary.domains.transients.readers.report import Report
from armillary.domains.transients.readers.snana_fits import read_snana_fits
from armillary.domains.transients.readers.snana_text import parse_snana
from armillary.domains.transients.readers.sniff import Kind, sniff, sniff_bytes
from armillary.domains.transients.readers.tables import BtsRow, read_bts_table, read_types
from armillary.domains.transients.readers.ztf_bts import parse_bts

DATA_SUFFIXES = (".csv", ".dat", ".fits", ".fit", ".avro", ".tar", ".tgz", ".txz", ".gz", ".xz", ".bz2")
_DOCUMENTS = (Kind.SNANA, Kind.BTS, Kind.ALERT)


@dataclass
class Labels:
    """What label tables say about objects, by id."""

    types: dict[str, str] = field(default_factory=dict[str, str])
    bts: dict[str, BtsRow] = field(default_factory=dict[str, BtsRow])


def read(paths: Sequence[Path], options: ReadOptions) -> Iterator[xr.Dataset]:
    """Chunks of at most `options.chunk_items` objects from files and folders, in a stream.

    Tables of metadata and labels are taken from the paths or from beside the light curves. A file, object or row that
    cannot be used goes to `options.report`; the others go on. Only allowed columns enter: truth columns of simulations
    never do, except an object's type, into `label`.
    """
    report, size = options.report, options.chunk_items
    found = _sniffed(paths, report)
    if Kind.METADATA in found.values() and Kind.PLASTICC not in found.values():
        lonely = next(path for path, kind in found.items() if kind is Kind.METADATA)
        report(DataError("is metadata without light curves", path=lonely, advice="Give the light-curve table too."))
    documents = [path for path, kind in found.items() if kind in (*_DOCUMENTS, Kind.TAR)]
    labels = _labels(found, documents, report)
    yield from chunks(join_packets(_records(documents, found, labels, report)), size, report)
    for head, phot in _pairs(found, report):
        yield from chunks(_guarded(read_snana_fits(head, phot, report), report), size, report)
    for path in _of_kind(found, Kind.PLASTICC):
        yield from _plasticc(path, found, size, report)


def _sniffed(paths: Sequence[Path], report: Report) -> dict[Path, Kind]:
    """Kind of each file that was given or lies in a folder that was given; files of no known kind are reported."""
    found: dict[Path, Kind] = {}
    for given in map(Path, paths):
        if not given.exists():
            report(DataError("does not exist", path=given, advice="Check the path."))
            continue
        files = sorted(file for file in given.rglob("*") if _is_data(file)) if given.is_dir() else [given]
        if not files:
            report(DataError("holds no data files", path=given, advice=f"Expected {', '.join(DATA_SUFFIXES)}."))
        for file in files:
            try:
                found[file] = sniff(file)
            except DataError as error:
                report(error)
    return found


def _is_data(file: Path) -> bool:
    return file.is_file() and not file.name.startswith(".") and file.suffix.lower() in DATA_SUFFIXES


def _of_kind(found: dict[Path, Kind], kind: Kind) -> list[Path]:
    return [path for path, its in found.items() if its is kind]


def _beside(path: Path, kind: Kind, levels: int = 1) -> Iterator[Path]:
    """Tables of a kind in the folder of a file, and in up to `levels - 1` folders above."""
    for folder in list(path.absolute().parents)[:levels]:
        for file in sorted(folder.glob("*.csv*")):
            try:
                if file.is_file() and sniff(file) is kind:
                    yield file
            except DataError:
                continue  # not what was asked for; whoever gives it by name hears of it


def _labels(found: dict[Path, Kind], documents: Sequence[Path], report: Report) -> Labels:
    """The label tables that were given; where none was, those beside the light curves or one folder above."""
    labels = Labels()
    folders = {path.parent: path for path in documents}.values()
    wanted: Any = ((Kind.TYPES, labels.types, read_types), (Kind.BTS_TABLE, labels.bts, read_bts_table))
    for kind, into, reader in wanted:
        tables = _of_kind(found, kind) or [table for path in folders for table in _beside(path, kind, 2)]
        for table in dict.fromkeys(tables):
            try:
                into.update(reader(table, report))
            except DataError as error:
                report(error)
    return labels


def _records(paths: Iterable[Path], found: dict[Path, Kind], labels: Labels, report: Report) -> Iterator[Record]:
    """The objects of small files and of archives of them."""
    for path in paths:
        if found[path] is Kind.TAR:
            for document in members(path, report):
                if Path(document.name).suffix.lower() in DATA_SUFFIXES:
                    yield from _guarded(_parsed(document, labels, report), report)
            continue
        try:
            document = Document(str(path), str(path), read_small(path))
        except DataError as error:
            report(error)
            continue
        yield from _guarded(_parsed(document, labels, report), report)


def _parsed(document: Document, labels: Labels, report: Report) -> Iterator[Record]:
    kind = sniff_bytes(document.data[:4096], document.name)
    if kind is Kind.SNANA:
        yield parse_snana(document, labels.types, report)
    elif kind is Kind.BTS:
        yield parse_bts(document, labels.bts, report)
    elif kind is Kind.ALERT:
        yield from parse_alerts(document, report)
    elif kind not in (Kind.TYPES, Kind.BTS_TABLE):
        raise DataError(f"is {kind.value}, which is not read from within an archive", path=document.name,
                        advice="Unpack the archive and give the file itself.")  # fmt: skip


def _guarded(records: Iterator[Record], report: Report) -> Iterator[Record]:
    """The records up to the error that ends them, which is reported."""
    try:
        yield from records
    except DataError as error:
        report(error)


def _pairs(found: dict[Path, Kind], report: Report) -> Iterator[tuple[Path, Path]]:
    """HEAD and PHOT files that belong together by name; a file's partner may lie beside it without being given."""
    for head in _of_kind(found, Kind.FITS_HEAD):
        partner = _partner(head, "HEAD", "PHOT")
        if partner is None:
            report(DataError("has no PHOT file beside it", path=head, advice="Give both files of the pair."))
        else:
            yield head, partner
    for phot in _of_kind(found, Kind.FITS_PHOT):
        partner = _partner(phot, "PHOT", "HEAD")
        if partner is None:
            report(DataError("has no HEAD file beside it", path=phot, advice="Give both files of the pair."))
        elif partner not in found:
            yield partner, phot


def _partner(path: Path, own: str, other: str) -> Path | None:
    front, _, back = path.name.rpartition(own)
    if not front and not back:
        return None
    for name in (f"{front}{other}{back}", f"{front}{other}{back}.gz", f"{front}{other}{back}".removesuffix(".gz")):
        if (path.parent / name).is_file():
            return path.parent / name
    return None


def _plasticc(path: Path, found: dict[Path, Kind], size: int, report: Report) -> Iterator[xr.Dataset]:
    try:
        first = _first_object(path)
        given = _of_kind(found, Kind.METADATA)
        metadata = companion(path, first, given, _beside(path, Kind.METADATA), report)
        yield from read_plasticc(path, metadata, size, report)
    except DataError as error:
        report(error)


def _first_object(path: Path) -> int:
    """The first object of a light-curve table, -1 when it has no row."""
    for block in read_blocks(path, COLUMNS, lambda _: None, size=64 * 1024):
        if len(block.rows):
            return int(block.columns["object_id"][0])
    return -1
