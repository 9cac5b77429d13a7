"""CHASE_DB1: colour photographs of the retina, whose vessels two observers drew."""

import re
from pathlib import Path

from armillary.core.domain import Split
from armillary.core.errors import DataError
from armillary.domains.medical.readers.report import Report
from armillary.domains.medical.settings import MedicalData
from armillary.domains.medical.sources import RasterMask, RasterSource
from armillary.domains.medical.studies import Mask, Study

# The first observer is the usual truth, the second the human level.
_OBSERVERS = {"vessel": "1stHO", "vessel_2nd": "2ndHO"}
NAMES = tuple(_OBSERVERS)
_NAME = re.compile(r"Image_(\d\d)([LR])\.jpg")
_FIRST_VALIDATION, _FIRST_TEST = 9, 11  # children


def read_chase(folder: Path, data: MedicalData, report: Report) -> list[Study]:
    """The photographs with the drawings that data.names asks for, by child and eye.

    A child is the patient, so both eyes lie in one split: children 01 to 08 train, 09 and 10 are validation, from 11 on
    test, as is usual with the 28 images of the set. A drawing that is missing is reported, and unknown (None).

    Raises:
        DataError: no photograph is there.
    """
    found = ((match, path) for path in sorted(folder.iterdir()) if (match := _NAME.fullmatch(path.name)))
    studies = [
        Study(
            id=path.stem, image=RasterSource(path), patient=match[1], split=_split(int(match[1])),
            masks=tuple(_mask(path, name, report) for name in (data.names if data.task == "masks" else ())),
        )
        for match, path in found
    ]  # fmt: skip
    if not studies:
        raise DataError("holds no photograph", path=folder, advice="Expected Image_01L.jpg and Image_01L_1stHO.png.")
    return studies


def second_observer(photograph: Path) -> RasterMask:
    """What the second observer drew on a photograph: the human level against the first.

    Raises:
        DataError: no drawing lies beside it.
    """
    path = photograph.with_name(f"{photograph.stem}_{_OBSERVERS['vessel_2nd']}.png")
    if not path.is_file():
        raise DataError(f"has no {path.name} beside it", path=photograph, advice="Expected the second drawing there.")
    return RasterMask(path)


def _split(child: int) -> Split:
    if child >= _FIRST_TEST:
        return "test"
    return "validation" if child >= _FIRST_VALIDATION else "train"


def _mask(photograph: Path, name: str, report: Report) -> Mask:
    path = photograph.with_name(f"{photograph.stem}_{_OBSERVERS[name]}.png")
    if path.is_file():
        return RasterMask(path)
    report(DataError(f"has no {path.name} beside it", path=photograph, advice="Its drawing counts as unknown."))
    return None
