"""Lists of mixtures in LibriMix's tables: which recordings, with which gains, and who speaks."""

import csv
from dataclasses import dataclass
from pathlib import Path

from armillary.core.errors import DataError
from armillary.core.files import atomic_write
from armillary.domains.speech.readers.report import Report


@dataclass(frozen=True)
class Listed:
    """One mixture as a list describes it.

    paths: of the voices below their root; gains: linear. noise_path: "" without noise, below the noises' own root;
    noise_start: first sample of it, at its own rate. room_seed: None without a room, which is then made with
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
    rows = _rows(path)
    speakers = {row["mixture_ID"]: row for row in _rows(info_path(path))} if info_path(path).exists() else {}
    columns = list(rows[0]) if rows else []
    missing = [name for name in ("mixture_ID", "source_1_path", "source_1_gain") if rows and name not in columns]
    if missing:
        raise DataError(f"has no column {missing[0]}; expected a LibriMix list", path=path, advice="Give such a list.")
    found: dict[str, Listed] = {}
    for number, row in enumerate(rows, start=2):
        try:
            listed = _listed(row, speakers.get(row["mixture_ID"], {}))
            if listed.name in found:
                raise ValueError("its name was there before")
            found[listed.name] = listed
        except (ValueError, TypeError) as error:
            report(DataError(f"cannot be used: {error}", path=path, row=number, advice="The row is left out."))
    return list(found.values())


def write_list(path: Path, mixtures: list[Listed]) -> None:
    """The table, and beside it the one of speakers; columns of noises and rooms only where a mixture has them."""
    _write_table(path, [_row(listed) for listed in mixtures])
    _write_table(info_path(path), [_info(listed) for listed in mixtures])


def info_path(path: Path) -> Path:
    """The table of speakers that belongs to a list."""
    return path.with_name(f"{path.stem}_info.csv")


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="") as stream:
            return list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot be read as a table ({error})", path=path, advice="Give a LibriMix list.") from error


def _listed(row: dict[str, str], about: dict[str, str]) -> Listed:
    count = 1
    while row.get(f"source_{count + 1}_path"):
        count += 1
    numbers = range(1, count + 1)
    name = row["mixture_ID"] or ""
    if not name or "/" in name or "\\" in name or name.startswith("."):
        raise ValueError(f"mixture_ID '{name}' cannot name a file")
    paths = tuple(row[f"source_{i}_path"] for i in numbers)
    if not all(paths):
        raise ValueError("a voice has no path")
    return Listed(
        name,
        paths,
        tuple(_finite(row[f"source_{i}_gain"]) for i in numbers),
        row.get("noise_path") or "",
        _finite(row.get("noise_gain") or 0),
        int(row.get("noise_start") or 0),
        int(row["room_seed"]) if row.get("room_seed") else None,
        _finite(row.get("rt60_s") or 0),
        tuple(about.get(f"speaker_{i}_ID") or "" for i in numbers),
        tuple(about.get(f"speaker_{i}_sex") or "" for i in numbers),
    )


def _finite(text: str | float) -> float:
    value = float(text)
    if not abs(value) < 1e6:
        raise ValueError(f"{text} is no gain")
    return value


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
