"""Lists of mixtures in LibriMix's tables: which recordings, with which gains, and who speaks."""

import csv
from dataclasses import dataclass
from pathlib import Path

from armillary.core.errors import DataError
from armillary.core.files import atomic_write
from armillary.domains.speech.readers.report import Report
from armillary.domains.speech.readers.tables import Row, inside, number, read_table


@dataclass(frozen=True)
class Listed:
    """One mixture as a list describes it.

    paths: of the voices below their root; gains: linear. noise_path: "" without noise, below the noises' own root;
    noise_start: first sample of it, counted at 16 kHz. room_seed: None without a room, which is then made with
    reverberation time rt60_s [s]. LibriMix's own tables have neither noise_start nor a room.
    """

    name: str
    paths: tuple[str, ...]
    gains: tuple[float, ...]
    noise_path: str = ""
    noise_gain: float = 0.0
    noise_start: int = 0
    room_seed: int | None = None
    rt60_s: float = 0.0
    speakers: tuple[str, ...] = ()
    sexes: tuple[str, ...] = ()


def is_list(path: Path) -> bool:
    """Whether a file is named as LibriMix names a list of mixtures: not the table of speakers beside it."""
    return path.suffix == ".csv" and not path.stem.endswith("_info")


def read_list(path: Path, report: Report) -> list[Listed]:
    """Mixtures of a table; rows that cannot be used are reported and left out, as is a name that comes again.

    Raises:
        DataError: not a readable table, or without the columns mixture_ID, source_1_path and source_1_gain.
    """
    people = info_path(path)
    about = {row["mixture_ID"]: row for _, row in read_table(people, ("mixture_ID",))} if people.exists() else {}
    found: dict[str, Listed] = {}
    for line, row in read_table(path, ("mixture_ID", "source_1_path", "source_1_gain")):
        try:
            listed = _listed(path, line, row, about.get(row["mixture_ID"], {}))
        except DataError as error:
            report(error)
            continue
        if listed.name in found:
            report(DataError("has a name that was there before", path=path, row=line, item=listed.name))
        else:
            found[listed.name] = listed
    return list(found.values())


def write_list(path: Path, mixtures: list[Listed]) -> None:
    """The table, and beside it the one of speakers; columns of noises and rooms only where a mixture has them."""
    _write_table(path, [_row(listed) for listed in mixtures])
    _write_table(info_path(path), [_info(listed) for listed in mixtures])


def info_path(path: Path) -> Path:
    """The table of speakers that belongs to a list."""
    return path.with_name(f"{path.stem}_info.csv")


def _listed(path: Path, row: int, cells: Row, about: Row) -> Listed:
    count = 1
    while cells.get(f"source_{count + 1}_path"):
        count += 1
    numbers = range(1, count + 1)
    name = cells["mixture_ID"]
    if not name or "/" in name or "\\" in name or name.startswith("."):
        raise DataError(f"mixture_ID '{name}' cannot name a file", path=path, row=row)

    def value(column: str) -> float:
        return number(path, row, cells, column) if cells.get(column) else 0.0

    def relative(column: str) -> str:
        return inside(Path(), path, row, cells[column]).as_posix()

    return Listed(
        name,
        tuple(relative(f"source_{i}_path") for i in numbers),
        tuple(number(path, row, cells, f"source_{i}_gain") for i in numbers),
        relative("noise_path") if cells.get("noise_path") else "",
        value("noise_gain"),
        max(0, int(value("noise_start"))),
        _seed(path, row, cells.get("room_seed", "")),
        value("rt60_s"),
        tuple(about.get(f"speaker_{i}_ID", "") for i in numbers),
        tuple(about.get(f"speaker_{i}_sex", "") for i in numbers),
    )


def _seed(path: Path, row: int, text: str) -> int | None:
    """A whole number too long for a float; None for an empty cell."""
    if not text:
        return None
    try:
        return int(text)
    except ValueError as error:
        raise DataError(f"room_seed is '{text}'; expected a whole number", path=path, row=row) from error


def _row(listed: Listed) -> dict[str, object]:
    row: dict[str, object] = {"mixture_ID": listed.name}
    for i, (path, gain) in enumerate(zip(listed.paths, listed.gains, strict=True), start=1):
        row |= {f"source_{i}_path": path, f"source_{i}_gain": gain}
    if listed.noise_path:
        row |= {"noise_path": listed.noise_path, "noise_gain": listed.noise_gain, "noise_start": listed.noise_start}
    if listed.room_seed is not None:
        row |= {"room_seed": listed.room_seed, "rt60_s": listed.rt60_s}
    return row


def _info(listed: Listed) -> dict[str, object]:
    row: dict[str, object] = {"mixture_ID": listed.name}
    for i, (speaker, sex) in enumerate(zip(listed.speakers, listed.sexes, strict=True), start=1):
        row |= {f"speaker_{i}_ID": speaker, f"speaker_{i}_sex": sex}
    return row


def _write_table(path: Path, rows: list[dict[str, object]]) -> None:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with atomic_write(path) as temporary, temporary.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
