"""A folder of images with a table of one's own: files, splits, patients, labels, masks. Simulated sets have it too.

The table is images.csv, or the only .csv in the folder. Columns; all but `file` are optional:

    file        path below the folder: PNG, JPEG, TIFF, DICOM, NIfTI, or a folder with a series of DICOM slices
    split       train, validation or test; without the column patients are drawn
    patient     images of one patient stay together; empty: the image is its own
    sex, age    F or M; years
    view        such as PA or AP
    spacing_mm  distance of pixels: one number, or one for each axis joined by "|" (planes, rows, columns)
    <label>     1, 0, -1 (uncertain) or empty (unknown), for each name in data.names
    label       instead of these: the names that hold, joined by "|"; none of them: "No Finding" or empty
    mask_<name> path of a mask, or path#value for one value of a label map; "absent": not in the image; empty: not drawn
"""

from dataclasses import dataclass, field
from pathlib import Path

from armillary.core.errors import ConfigError, DataError, near_miss
from armillary.domains.medical.readers.cxr14 import NO_FINDING
from armillary.domains.medical.readers.files import Made, collect, image_of
from armillary.domains.medical.readers.report import Report
from armillary.domains.medical.readers.tables import (
    Row,
    age_of,
    header_of,
    inside,
    number_of,
    read_table,
    sex_of,
    split_of,
)
from armillary.domains.medical.readers.targets import target_of
from armillary.domains.medical.settings import MedicalData
from armillary.domains.medical.sniff import named_kind
from armillary.domains.medical.sources import NiftiMask, RasterMask
from armillary.domains.medical.splits import draw_splits
from armillary.domains.medical.studies import Absent, Mask, Study

TABLE = "images.csv"
ABSENT = "absent"
_OTHERS = ("file", "split", "patient", "sex", "age", "view", "spacing_mm")


def find_table(folder: Path) -> Path | None:
    """The table of a folder of images: images.csv, or the only .csv with a column `file`."""
    if (folder / TABLE).is_file():
        return folder / TABLE
    tables = [path for path in folder.glob("*.csv") if _has_files(path)]
    return tables[0] if len(tables) == 1 else None


def _has_files(table: Path) -> bool:
    try:
        return "file" in header_of(table)
    except DataError:
        return False


def read_image_folder(folder: Path, data: MedicalData, report: Report) -> list[Study]:
    """The images of a folder's table, in its order; see above for the columns.

    A row with a path out of the folder, an unknown split or a label that is no number is reported and left out; a
    mask whose file is missing is reported, and unknown. In a column `label`, names that data.names does not have count
    as nothing and are reported once each; for classes such an image is left out.

    Raises:
        DataError: no table, or no image that can be used. ConfigError: no column for one of data.names.
    """
    table = find_table(folder)
    if table is None:
        advice = f"Expected {TABLE} with the columns {', '.join(_OTHERS)}, and labels or masks."
        raise DataError("holds no table of images", path=folder, advice=advice)
    columns = header_of(table)
    _check_columns(columns, data)
    rows = _Rows(folder, table, data, columns, report)
    studies = collect(read_table(table, ("file",)), rows.study, table, report)
    for name, count in rows.strange.items():
        problem = f"the label '{name}' ({count} rows) is none of data.names{near_miss(name, data.names)}"
        report(DataError(problem, path=table, advice="It counts as nothing."))
    return studies if "split" in columns else draw_splits(studies)


def _check_columns(columns: tuple[str, ...], data: MedicalData) -> None:
    """Whether a table has a column for each of data.names.

    Raises:
        ConfigError: it has not.
    """
    if data.task == "pretrain" or (data.task != "masks" and "label" in columns):
        return
    prefix = "mask_" if data.task == "masks" else ""
    for name in data.names:
        if prefix + name not in columns:
            own = [column for column in columns if column.startswith(prefix) and column not in _OTHERS]
            raise ConfigError(f"data.names: {data.card} has no column '{prefix}{name}'{near_miss(prefix + name, own)}")


@dataclass(frozen=True)
class _Rows:
    """The rows of one table; `strange` counts labels that the run does not ask for."""

    folder: Path
    table: Path
    data: MedicalData
    columns: tuple[str, ...]
    report: Report
    strange: dict[str, int] = field(default_factory=dict[str, int])

    def study(self, row: int, cells: Row) -> Made:
        name = cells["file"]
        path = inside(self.folder, name)
        there = path.exists()
        values = self._labels(name, cells) if self.data.task in ("labels", "classes") else {}
        names = self.data.names if self.data.task == "masks" and there else ()
        study = Study(
            id=name, image=image_of(path), patient=cells.get("patient", ""),
            split=split_of(cells["split"], name) if "split" in self.columns else "",
            target=target_of(values, self.data, name),
            masks=tuple(self._mask(row, name, cells[f"mask_{own}"]) for own in names),
            sex=sex_of(cells.get("sex", "")), age_years=age_of(cells.get("age", "")), view=cells.get("view", ""),
            spacing_mm=self._spacing(name, cells.get("spacing_mm", "")),
        )  # fmt: skip
        return study, there

    def _labels(self, item: str, cells: Row) -> dict[str, float]:
        if "label" not in self.columns:
            return {name: number_of(cells[name], name, item) for name in self.data.names}
        found = [label for text in cells["label"].split("|") if (label := text.strip())]
        for label in found:
            if label not in self.data.names and label != NO_FINDING and self.data.task == "labels":
                self.strange[label] = self.strange.get(label, 0) + 1
        return dict.fromkeys(found, 1.0)

    def _mask(self, row: int, item: str, text: str) -> Mask:
        if not text or text == ABSENT:
            return Absent() if text else None
        name, _, value = text.partition("#")
        path = inside(self.folder, name)
        if value and not value.isdecimal():
            raise DataError(f"has the mask '{text}'", item=item, advice="Expected a whole number behind '#'.")
        if not path.is_file():
            problem = DataError(
                f"has no mask {name}", path=self.table, item=item, row=row, advice="It counts as unknown."
            )
            self.report(problem)
            return None
        label = int(value) if value else None
        return NiftiMask(path, label) if named_kind(path) == "nifti" else RasterMask(path, label)

    def _spacing(self, item: str, text: str) -> tuple[float, ...]:
        if not text:
            return ()
        spacing = tuple(number_of(part, "spacing_mm", item) for part in text.split("|"))
        if len(spacing) == 1:
            spacing = spacing * self.data.rank
        if len(spacing) != self.data.rank or not all(0 < value < float("inf") for value in spacing):
            advice = f"Expected one positive number, or {self.data.rank} joined by '|'."
            raise DataError(f"spacing_mm is '{text}'", item=item, advice=advice)
        return spacing
