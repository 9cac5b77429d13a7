"""`simulate`: the files of a simulated survey, or the small twin of a real one, in the survey's native format.

Object i of a seed depends on the seed and i alone, whatever the number of objects; the same call gives the same bytes.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from armillary.core.domain import Size
from armillary.core.errors import CardError, near_miss
from armillary.domains.transients.simulation.survey import VERSION, Survey, evenly_labelled, simulate_objects
from armillary.domains.transients.simulation.surveys import DES, LSST, ZTF
from armillary.domains.transients.simulation.write_plasticc import (
    FIRST_ID,
    write_kaggle,
    write_zenodo,
    write_zenodo_metadata,
)
from armillary.domains.transients.simulation.write_spcc import write_spcc
from armillary.domains.transients.simulation.write_ztf import write_bts, ztf_name

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
class _Recipe:
    """How a card's files are made: write(folder, seed, size) -> (number of objects, broken item or None)."""

    write: Callable[[Path, int, Size], tuple[int, str | None]]
    sizes: tuple[Size, ...]


def simulate(card: str, root: Path, seed: int, size: Size) -> Path:
    """Write the dataset of a card into root/transients/<card> and return that folder.

    'default': 3,000 objects of a simulated survey in seconds. 'twin': a few dozen, below 200 kB, one broken on purpose.
    A folder made by the same call is used again; any other is left alone with an error. The folder appears whole or
    not at all: files are written beside it and the folder is renamed.
    """
    recipe = _recipe(card, size)
    folder = root / "transients" / card
    if folder.exists():
        return _reuse(folder, card, seed, size)
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{card}-", dir=folder.parent))
    try:
        objects, broken = recipe.write(work, seed, size)
        stamp = Stamp(card, seed, size, VERSION, objects, broken)
        (work / STAMP).write_text(json.dumps(asdict(stamp), indent=1) + "\n")
        work.chmod(0o755)
        _publish(work, folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return _reuse(folder, card, seed, size)


def read_stamp(folder: Path) -> Stamp | None:
    """What made the folder, or None when no simulation did."""
    try:
        return Stamp(**json.loads((folder / STAMP).read_text()))
    except (OSError, TypeError, ValueError):
        return None


def _recipe(card: str, size: Size) -> _Recipe:
    if card not in _RECIPES:
        raise CardError(f"'{card}' is not a card that transients can simulate{near_miss(card, _RECIPES)}")
    recipe = _RECIPES[card]
    if size not in recipe.sizes:
        raise CardError(
            f"{card}: a real dataset has no simulated default; expected size 'twin', got '{size}'.\n"
            "  Fetch the data with 'armillary data fetch', use the small twin (size='twin'), or simulate "
            "'simulated_lsst' or 'simulated_ztf'."
        )
    return recipe


def _reuse(folder: Path, card: str, seed: int, size: Size) -> Path:
    stamp = read_stamp(folder)
    if stamp and (stamp.card, stamp.seed, stamp.size, stamp.version) == (card, seed, size, VERSION):
        return folder
    found = f"seed {stamp.seed}, size {stamp.size}, version {stamp.version}" if stamp else f"no readable {STAMP}"
    raise CardError(
        f"{card}: {folder} already exists and holds something else: expected seed {seed}, size {size}, "
        f"version {VERSION}, got {found}.\n  Remove that folder, or simulate into another root."
    )


def _publish(work: Path, folder: Path) -> None:
    """Rename the finished folder into place; when another process was first, its folder stays."""
    try:
        os.rename(work, folder)
    except OSError:
        if not folder.exists():
            raise


def _write_simulated_lsst(folder: Path, seed: int, size: Size) -> tuple[int, str | None]:
    twin = size == "twin"
    number = 5 * len(LSST.labels) + 1 if twin else 3000
    items = simulate_objects(_small(LSST) if twin else LSST, seed, number, _labels(LSST, number, twin))
    broken = FIRST_ID + number - 1 if twin else None
    write_kaggle(items, folder / "training_set.csv.gz", folder / "training_set_metadata.csv", broken)
    return number, None if broken is None else str(broken)


def _write_simulated_ztf(folder: Path, seed: int, size: Size) -> tuple[int, str | None]:
    twin = size == "twin"
    number = 61 if twin else 3000
    items = simulate_objects(ZTF, seed, number, _labels(ZTF, number, twin))
    write_bts(items, folder, number - 1 if twin else None)
    return number, ztf_name(number - 1) if twin else None


def _write_plasticc(folder: Path, seed: int, size: Size) -> tuple[int, str | None]:
    """The files of the small genuine pieces: Kaggle dialect for a training sample, Zenodo dialect for a test sample."""
    number, zenodo = 3 * len(LSST.labels) + 1, 15
    items = simulate_objects(
        _small(LSST), seed, number + zenodo, _labels(LSST, number, True) | _test_labels(number, zenodo)
    )
    kaggle, test = items[:number], items[number:]
    broken = FIRST_ID + number - 1
    write_kaggle(kaggle, folder / "training_set_sample10.csv.gz", folder / "training_set_metadata_sample10.csv", broken)
    write_zenodo_metadata(kaggle, folder / "plasticc_train_metadata.csv.gz")
    write_zenodo(
        test,
        folder / "plasticc_test_sniabcii_relmjd.csv.gz",
        folder / "plasticc_test_sniabcii_metadata.csv",
        relative_time=True,
    )
    return number + zenodo, str(broken)


def _write_spcc(folder: Path, seed: int, size: Size) -> tuple[int, str | None]:
    """A spectroscopic sample that is brighter than the photometric one, as in the challenge."""
    spectra, photometry = 16, 49
    bright = replace(DES, limit=DES.limit - 1.2)
    labels = evenly_labelled(DES, spectra + photometry)
    spectroscopic = simulate_objects(bright, seed, spectra, labels)
    photometric = simulate_objects(DES, seed, spectra + photometry, labels)[spectra:]
    broken = 100_000 + photometric[-1].index
    write_spcc(spectroscopic, photometric, folder, broken)
    return spectra + photometry, str(broken)


def _small(survey: Survey) -> Survey:
    """Without deep fields, whose light curves are three times as long."""
    return replace(survey, deep_share=0.0)


def _labels(survey: Survey, number: int, twin: bool) -> dict[int, str]:
    return evenly_labelled(survey, number) if twin else {}


def _test_labels(first: int, number: int) -> dict[int, str]:
    return {first + place: ("42", "62", "90")[place % 3] for place in range(number)}


_RECIPES: dict[str, _Recipe] = {
    "simulated_lsst": _Recipe(_write_simulated_lsst, ("default", "twin")),
    "simulated_ztf": _Recipe(_write_simulated_ztf, ("default", "twin")),
    "plasticc": _Recipe(_write_plasticc, ("twin",)),
    "spcc": _Recipe(_write_spcc, ("twin",)),
    "ztf_bts": _Recipe(_write_simulated_ztf, ("twin",)),
}
