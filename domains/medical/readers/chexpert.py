"""CheXpert: train.csv and valid.csv with 14 observations (1, 0, -1 uncertain, blank), pictures below their patients."""

import re
from functools import partial
from pathlib import Path, PurePosixPath

from armillary.core.domain import Split
from armillary.core.errors import DataError
from armillary.domains.medical.readers.files import Made, collect
from armillary.domains.medical.readers.report import Report
from armillary.domains.medical.readers.tables import Row, age_of, inside, number_of, read_table, sex_of
from armillary.domains.medical.readers.targets import target_of
from armillary.domains.medical.settings import MedicalData
from armillary.domains.medical.sources import RasterSource
from armillary.domains.medical.splits import SPLIT_SEED, VALIDATION_SHARE, draw_validation
from armillary.domains.medical.studies import Study

NAMES = (
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema",
    "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture",
    "Support Devices",
)  # fmt: skip
_COLUMNS = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *NAMES)
_TABLES: dict[str, Split] = {"train.csv": "train", "valid.csv": "test"}
_LAYOUT = "Expected CheXpert-v1.0 or CheXpert-v1.0-small with train.csv, valid.csv, train/ and valid/ in it."


def read_chexpert(folder: Path, data: MedicalData, report: Report) -> list[Study]:
    """The images of train.csv and valid.csv whose files are there.

    The official validation set, which radiologists labelled, is the test split here; validation is a share of the
    training patients. A blank (the report does not mention it) counts as absent, as is usual with this set; -1 counts
    as data.unknown says. Views are "PA", "AP" and the like, or "lateral".

    Raises:
        DataError: a table or all of the images are missing.
    """
    root = _root(folder)
    studies: list[Study] = []
    for name, split in _TABLES.items():
        table = root / name
        studies += collect(read_table(table, _COLUMNS), partial(_study, root, data, split), table, report)
    return draw_validation(studies, VALIDATION_SHARE, SPLIT_SEED)


def _root(folder: Path) -> Path:
    for place in (folder, *sorted(folder.glob("CheXpert*"))):
        if all((place / table).is_file() for table in _TABLES):
            return place
    raise DataError("holds no train.csv and valid.csv", path=folder, advice=_LAYOUT)


def _study(root: Path, data: MedicalData, split: Split, row: int, cells: Row) -> Made:
    """Paths begin with the release's own name, whatever its folder is called here."""
    parts = PurePosixPath(cells["Path"]).parts
    name = "/".join(parts[1:] if parts and parts[0].lower().startswith("chexpert") else parts)
    path = inside(root, name)
    patient = re.search(r"(?:^|/)(patient\d+)(?:/|$)", name)
    if patient is None:
        raise DataError("names no patient in its path", item=name, advice=_LAYOUT)
    observed = {label: number_of(cells[label] or "0", label, name) for label in NAMES}
    study = Study(
        id=name, image=RasterSource(path), patient=patient[1], split=split,
        target=target_of(observed, data, name),
        sex=sex_of(cells["Sex"]), age_years=age_of(cells["Age"]),
        view="lateral" if cells["Frontal/Lateral"] == "Lateral" else cells["AP/PA"],
    )  # fmt: skip
    return study, path.is_file()
