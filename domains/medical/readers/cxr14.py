"""ChestX-ray14 of the NIH: one table of findings, lists of the splits, pictures in one folder or in twelve."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from armillary.core.domain import Split
from armillary.core.errors import DataError, near_miss
from armillary.domains.medical.readers.files import Made, collect, names_in
from armillary.domains.medical.readers.report import Report, report_together, some_of
from armillary.domains.medical.readers.tables import Row, age_of, read_table, sex_of
from armillary.domains.medical.readers.targets import target_of
from armillary.domains.medical.settings import MedicalData
from armillary.domains.medical.sources import RasterSource
from armillary.domains.medical.splits import SPLIT_SEED, VALIDATION_SHARE, draw_validation
from armillary.domains.medical.studies import Study

NO_FINDING = "No Finding"
NAMES = (
    "Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia", "Pneumothorax",
    "Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia", NO_FINDING,
)  # fmt: skip
_COLUMNS = ("Image Index", "Finding Labels", "Patient ID", "Patient Age", "View Position")
_WHOLE_LIST = "train_val_list.txt"
_LISTS: Mapping[str, Split] = {
    _WHOLE_LIST: "train", "train_list.txt": "train", "val_list.txt": "validation",
    "val_list_medical_mae.txt": "validation", "test_list.txt": "test",
}  # fmt: skip
_LAYOUT = (
    "Expected Data_Entry_2017*.csv, test_list.txt and train_val_list.txt (or train_list.txt and val_list.txt), and "
    "images/ or images_001/images/ to images_012/images/."
)


def read_cxr14(folder: Path, data: MedicalData, report: Report) -> list[Study]:
    """The images of the lists whose files are there, in the order of the table.

    Validation is the set's list where there is one, else a share of the patients outside the test list. The table's
    spacing is that of the film before it was shrunk, so the images' spacing is unknown. Reported: a finding that the
    set does not have (the image is left out), images in a list but not in the table or the other way, names that come
    twice, and missing files.

    Raises:
        DataError: the table, the lists or all of the images are missing.
    """
    table, splits = _table(folder), read_lists(folder)
    files, twice = names_in(_image_folders(folder))
    report_together(report, twice, "images in two folders", folder, "The one in the first folder counts.")
    listed, strange = dict.fromkeys(splits, False), list[str]()

    def make(row: int, cells: Row) -> Made | None:
        name = cells["Image Index"]
        if name not in splits:
            strange.append(name)
            return None
        listed[name] = True
        return _study(cells, data, files.get(name, folder), splits[name]), name in files

    studies = collect(read_table(table, _COLUMNS), make, table, report)
    report_together(report, strange, "images in no list of the splits", table, "They are left out.")
    without = [name for name, known in listed.items() if not known]
    report_together(report, without, "images of the lists without a row", table, "They are left out.")
    if "validation" in splits.values():
        return studies
    return draw_validation(studies, VALIDATION_SHARE, SPLIT_SEED)


def read_lists(folder: Path) -> dict[str, Split]:
    """Image name -> split, from the lists in a folder: a name a line, or a path and labels behind it.

    A list of validation takes its images out of train_val_list.txt.

    Raises:
        DataError: no list of training or of test images, or an image that is in two of them.
    """
    splits: dict[str, Split] = {}
    of: dict[str, str] = {}
    for own in _LISTS:
        for name in _names(folder / own):
            if name in splits and splits[name] != _LISTS[own] and of[name] != _WHOLE_LIST:
                raise DataError(f"is in {of[name]} and in {own}", path=folder, item=name, advice="Expected it in one.")
            splits[name], of[name] = _LISTS[own], own
    lacking = [split for split in ("train", "test") if split not in splits.values()]
    if lacking:
        raise DataError(f"has no list of {' and '.join(lacking)} images", path=folder, advice=_LAYOUT)
    return splits


def _names(path: Path) -> Iterator[str]:
    if not path.is_file():
        return
    try:
        with path.open(encoding="utf-8-sig") as lines:
            yield from (line.split()[0].rpartition("/")[2] for line in lines if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read as text ({error})", path=path, advice=_LAYOUT) from error


def _table(folder: Path) -> Path:
    tables = sorted(folder.glob("Data_Entry_2017*.csv"))
    if len(tables) != 1:
        raise DataError(
            f"holds {len(tables)} tables Data_Entry_2017*.csv; expected one: {some_of([t.name for t in tables])}"
            if tables else "holds no table Data_Entry_2017*.csv", path=folder, advice=_LAYOUT,
        )  # fmt: skip
    return tables[0]


def _image_folders(folder: Path) -> list[Path]:
    numbered = (place / "images" if (place / "images").is_dir() else place for place in folder.glob("images_*"))
    return [place for place in (folder / "images", *sorted(numbered)) if place.is_dir()]


def _study(cells: Row, data: MedicalData, path: Path, split: Split) -> Study:
    name = cells["Image Index"]
    found = dict.fromkeys(_findings(name, cells["Finding Labels"]), 1.0)
    return Study(
        id=name, image=RasterSource(path), patient=cells["Patient ID"], split=split,
        target=target_of(found, data, name),
        sex=sex_of(cells.get("Patient Gender") or cells.get("Patient Sex") or ""),
        age_years=age_of(cells["Patient Age"]), view=cells["View Position"],
    )  # fmt: skip


def _findings(name: str, text: str) -> list[str]:
    found = [label.strip() for label in text.split("|")]
    for label in found:
        if label not in NAMES:
            raise DataError(
                f"has the finding '{label}'{near_miss(label, NAMES)}", item=name,
                advice="Its labels are not known: the image is left out.",
            )  # fmt: skip
    return found
