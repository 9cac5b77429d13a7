"""COVID-19 image repository of Hannover Medical School: pictures for pre-training, without labels."""

from functools import partial
from pathlib import Path

from armillary.domains.medical.readers.files import Made, collect
from armillary.domains.medical.readers.report import Report
from armillary.domains.medical.readers.tables import Row, age_of, inside, read_table, sex_of, split_of
from armillary.domains.medical.settings import MedicalData
from armillary.domains.medical.sources import RasterSource
from armillary.domains.medical.studies import Study


def read_hannover(folder: Path, data: MedicalData, report: Report) -> list[Study]:
    """The pictures of data.csv, in the splits of splits.csv; views are "AP" and "PA".

    Raises:
        DataError: a table or all of the images are missing.
    """
    lists = folder / "splits.csv"
    splits = {cells["image_id"]: cells["split"] for _, cells in read_table(lists, ("image_id", "split"))}
    table = folder / "data.csv"
    rows = read_table(table, ("patient_id", "image_id", "sex", "age", "projection"))
    return collect(rows, partial(_study, folder, splits), table, report)


def _study(folder: Path, splits: dict[str, str], row: int, cells: Row) -> Made:
    name = cells["image_id"]
    path = inside(folder, f"png/{name}.png")
    study = Study(
        id=name, image=RasterSource(path), patient=cells["patient_id"], split=split_of(splits.get(name, ""), name),
        sex=sex_of(cells["sex"]), age_years=age_of(cells["age"]), view=cells["projection"].upper(),
    )  # fmt: skip
    return study, path.is_file()
