"""Datasets made from a seed, in folders that say what made them. Free of torch."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from armillary.core.domain import Size
from armillary.core.errors import CardError, near_miss

STAMP = "simulation.json"


@dataclass(frozen=True)
class Stamp:
    """What made a folder, kept in it as simulation.json. `broken` names the item that is damaged on purpose."""

    card: str
    seed: int
    size: Size
    version: int
    objects: int
    broken: str | None


@dataclass(frozen=True)
class Simulation:
    """How a card's files are made: write(folder, seed, size) -> (number of items, broken item or None)."""

    write: Callable[[Path, int, Size], tuple[int, str | None]]
    sizes: tuple[Size, ...]


@dataclass(frozen=True)
class Simulations:
    """All cards that a domain can simulate; `version` counts changes of what the same seed gives."""

    domain: str
    version: int
    table: Mapping[str, Simulation]

    def __call__(self, card: str, root: Path, seed: int, size: Size) -> Path:
        """Write the dataset of a card into root/<domain>/<card> and return that folder.

        A folder made by the same call is used again; any other is left alone with an error. The folder appears whole
        or not at all: files are written beside it and the folder is renamed.

        Raises:
            CardError: no such card, no such size of it, or the folder holds something else.
        """
        simulation = self._find(card, size)
        folder = root / self.domain / card
        if folder.exists():
            return self._reuse(folder, card, seed, size)
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{card}-", dir=folder.parent))
        try:
            number, broken = simulation.write(work, seed, size)
            stamp = Stamp(card, seed, size, self.version, number, broken)
            (work / STAMP).write_text(json.dumps(asdict(stamp), indent=1) + "\n")
            work.chmod(0o755)
            _publish(work, folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        return self._reuse(folder, card, seed, size)

    def _find(self, card: str, size: Size) -> Simulation:
        if card not in self.table:
            raise CardError(f"'{card}' is not a card that {self.domain} can simulate{near_miss(card, self.table)}")
        simulation = self.table[card]
        if size not in simulation.sizes:
            whole = [name for name, other in self.table.items() if "default" in other.sizes]
            raise CardError(
                f"{card}: a real dataset has no simulated default; expected size 'twin', got '{size}'.\n"
                "  Fetch the data with 'armillary data fetch', use the small twin (size='twin'), or simulate "
                f"{' or '.join(repr(name) for name in whole)}."
            )
        return simulation

    def _reuse(self, folder: Path, card: str, seed: int, size: Size) -> Path:
        stamp = read_stamp(folder)
        if stamp and (stamp.card, stamp.seed, stamp.size, stamp.version) == (card, seed, size, self.version):
            return folder
        found = f"seed {stamp.seed}, size {stamp.size}, version {stamp.version}" if stamp else f"no readable {STAMP}"
        raise CardError(
            f"{card}: {folder} already exists and holds something else: expected seed {seed}, size {size}, "
            f"version {self.version}, got {found}.\n  Remove that folder, or simulate into another root."
        )


def read_stamp(folder: Path) -> Stamp | None:
    """What made the folder, or None when no simulation did."""
    try:
        return Stamp(**json.loads((folder / STAMP).read_text()))
    except (OSError, TypeError, ValueError):
        return None


def _publish(work: Path, folder: Path) -> None:
    """Rename the finished folder into place; when another process was first, its folder stays."""
    try:
        os.rename(work, folder)
    except OSError:
        if not folder.exists():
            raise
