"""Where a dataset lies, and whether its files are those of its card."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from armillary.core.cards.schema import Card, CardFile
from armillary.core.errors import CardError
from armillary.core.paths import dataset_folder, download_root

Status = Literal["ok", "present", "missing", "size", "digest"]


@dataclass(frozen=True)
class FileCheck:
    """What was found for one file. 'present': the card has no digest to compare with."""

    path: str
    status: Status
    expected: str = ""
    got: str = ""

    def __str__(self) -> str:
        detail = f": expected {self.expected}, got {self.got}" if self.status in ("size", "digest") else ""
        return f"{self.path}: {self.status}{detail}"


@dataclass(frozen=True)
class Verification:
    """The checks of all files of a card in one folder."""

    card: str
    folder: Path
    checks: tuple[FileCheck, ...]

    @property
    def ok(self) -> bool:
        return not self.problems

    @property
    def problems(self) -> tuple[FileCheck, ...]:
        return tuple(check for check in self.checks if check.status not in ("ok", "present"))


def locate(card: Card, root: Path) -> Path:
    """The dataset's folder below `root`, else below the cache, where downloads and simulations go.

    Raises:
        CardError: it is in neither place.
    """
    places = list(dict.fromkeys(dataset_folder(base, card.domain, card.id) for base in (root, download_root())))
    for place in places:
        if place.is_dir():
            return place
    looked = " and ".join(map(str, places))
    raise CardError(f"{card.id}: the dataset is not here; looked in {looked}.\n  {how_to_get(card)}")


def how_to_get(card: Card) -> str:
    """The next step of a user who lacks the dataset."""
    if card.generator is not None:
        return f"Make it with: armillary data simulate {card.id}"
    if all(file.url is not None for file in card.files):
        return f"Get it with: armillary data fetch {card.id}"
    return (
        f"By hand: {card.manual}\n  Then put its files in <data root>/{card.domain}/{card.id} and set ARMILLARY_DATA."
    )


def verify(card: Card, folder: Path) -> Verification:
    """Compares every file of the card with the folder: there, size [bytes], sha256. Reads all of every file."""
    return Verification(card.id, folder, tuple(check_file(file, folder / file.path) for file in card.files))


def check_file(file: CardFile, path: Path) -> FileCheck:
    """Compares one file with what its card says."""
    if not path.is_file():
        return FileCheck(file.path, "missing")
    size = path.stat().st_size
    if file.bytes is not None and size != file.bytes:
        return FileCheck(file.path, "size", f"{file.bytes} bytes", f"{size} bytes")
    if file.sha256 is None:
        return FileCheck(file.path, "present")
    got = sha256(path)
    return FileCheck(file.path, "ok" if got == file.sha256 else "digest", file.sha256, got)


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
