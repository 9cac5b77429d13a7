"""Studies of a data card's folder, whatever published set lies in it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from armillary.core.errors import ConfigError, DataError
from armillary.domains.medical.readers import chase, chexpert, cxr14, structures
from armillary.domains.medical.readers.hannover import read_hannover
from armillary.domains.medical.readers.image_folder import find_table, read_image_folder
from armillary.domains.medical.readers.medmnist import find_npz, read_medmnist
from armillary.domains.medical.readers.report import Report
from armillary.domains.medical.readers.targets import check_names
from armillary.domains.medical.settings import MedicalData
from armillary.domains.medical.splits import check_patients
from armillary.domains.medical.studies import Study, of_views

_TELL = ("labels", "classes", "pretrain")
_DRAW = ("masks", "pretrain")


@dataclass(frozen=True)
class _Set:
    """A published set: its reader, what can be asked of it, and the names it has (none: what data.names says)."""

    read: Callable[[Path, MedicalData, Report], list[Study]]
    tasks: tuple[str, ...]
    names: tuple[str, ...] = ()


_CXR14 = _Set(cxr14.read_cxr14, _TELL, cxr14.NAMES)
_MEDMNIST = _Set(read_medmnist, _TELL)
_IMAGE_FOLDER = _Set(read_image_folder, (*_TELL, "masks"))
_SETS = {
    "nih_cxr14": _CXR14,
    "nih_cxr14_mini": _CXR14,
    "chexpert": _Set(chexpert.read_chexpert, _TELL, chexpert.NAMES),
    "hannover_covid_cxr": _Set(read_hannover, ("pretrain",)),
    "covid_cxr_structures": _Set(structures.read_structures, _DRAW, structures.NAMES),
    "chase_db1": _Set(chase.read_chase, _DRAW, chase.NAMES),
}


def load_card(card: str, folder: Path, data: MedicalData, report: Report) -> list[Study]:
    """The studies of all splits in a card's folder, of the views that the run asks for; pixels stay in their files.

    A card that is not one of the published sets is read by what lies there: an .npz as of MedMNIST, else images with
    a table (simulated sets, and one's own). What cannot be used is reported, and the rest goes on.

    Raises:
        DataError: the set is not there or cannot be read, or a patient is in two splits. ConfigError: the set has no
            such task, names or views.
    """
    known = _SETS.get(card) or _by_layout(card, folder)
    if data.task not in known.tasks:
        raise ConfigError(f"data.task: {card} is for {' or '.join(known.tasks)}, and the run asks for '{data.task}'")
    if known.names and data.task != "pretrain":
        check_names(data, known.names)
    studies = known.read(folder, data, report)
    check_patients(studies, folder, card)
    return of_views(studies, data.views)


def _by_layout(card: str, folder: Path) -> _Set:
    if find_npz(folder, card) is not None:
        return _MEDMNIST
    if find_table(folder) is not None:
        return _IMAGE_FOLDER
    raise DataError(
        "holds no data set that is known", path=folder, card=card,
        advice="Expected one .npz as of MedMNIST, or images with a table images.csv.",
    )  # fmt: skip
