"""covid_cxr_structures: chest films with masks of anatomy, findings and devices, one picture a structure."""

from functools import partial
from pathlib import Path

from armillary.core.errors import DataError
from armillary.domains.medical.readers.files import Made, collect
from armillary.domains.medical.readers.report import Report
from armillary.domains.medical.readers.tables import Row, age_of, inside, read_table, sex_of, split_of
from armillary.domains.medical.settings import MedicalData
from armillary.domains.medical.sources import RasterMask, RasterSource
from armillary.domains.medical.studies import Absent, Mask, Study

ANATOMY = ("left_lung", "right_lung", "cardiomediastinum", "airways")
NAMES = (
    *ANATOMY, "ground_glass_opacities", "consolidation", "pleural_effusion", "pneumothorax", "tubings",
    "nosogastric_tube", "endotracheal_tube", "central_venous_line", "monitoring_probes",
)  # fmt: skip
_COLUMNS = ("image", "split", "patientid", "view", "sex", "age", "structures")


def read_structures(folder: Path, data: MedicalData, report: Report) -> list[Study]:
    """The films of metadata.csv with a mask for each of data.names.

    Everyone has lungs, a heart and airways: where these are not drawn, nothing is known of them (None). A finding or a
    device that is not drawn is not there (Absent). "Left" is the patient's left. A mask that is listed but missing is
    reported, and unknown. The table tells no spacing.

    Raises:
        DataError: the table or all of the images are missing.
    """
    table = folder / "metadata.csv"
    make = partial(_study, folder, data, table, report)
    return collect(read_table(table, _COLUMNS), make, table, report)


def _study(folder: Path, data: MedicalData, table: Path, report: Report, row: int, cells: Row) -> Made:
    path = inside(folder, cells["image"])
    drawn = set(cells["structures"].split("|"))
    there = path.is_file()
    names = data.names if data.task == "masks" and there else ()
    masks: list[Mask] = []
    for name in names:
        place = folder / "masks" / f"{path.stem}__{name}.png"
        masks.append(_mask(place, name, name in drawn))
        if name in drawn and masks[-1] is None:
            advice = "The structure counts as not drawn."
            report(DataError(f"has no file {place.name}", path=table, item=path.stem, row=row, advice=advice))
    study = Study(
        id=path.stem, image=RasterSource(path), patient=cells["patientid"],
        split=split_of(cells["split"], path.stem), masks=tuple(masks), sex=sex_of(cells["sex"]),
        age_years=age_of(cells["age"]), view=cells["view"],
    )  # fmt: skip
    return study, there


def _mask(path: Path, name: str, drawn: bool) -> Mask:
    if drawn:
        return RasterMask(path) if path.is_file() else None
    return None if name in ANATOMY else Absent()
