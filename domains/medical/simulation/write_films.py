"""Small twins of published sets of chest films, in their layouts, filled with phantoms; one file of each is spoilt."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from armillary.core.domain import Size
from armillary.core.random import derive_rng
from armillary.domains.medical.simulation.phantom import Film, draw_films
from armillary.domains.medical.simulation.pictures import cut_in_half, write_grey, write_mask, write_rgba
from armillary.domains.medical.simulation.write_folder import split_of, write_csv

_PEOPLE = 10
_CXR14 = {
    "Opacity": "Infiltration", "Nodule": "Nodule", "Effusion": "Effusion", "Pneumothorax": "Pneumothorax",
    "Cardiomegaly": "Cardiomegaly",
}  # fmt: skip
# The last two names hold a comma without quotes, as the release has it.
_CXR14_HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
_CHEXPERT = (
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema",
    "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture",
    "Support Devices",
)  # fmt: skip
_TO_CHEXPERT = {
    "Opacity": "Lung Opacity", "Nodule": "Lung Lesion", "Effusion": "Pleural Effusion",
    "Pneumothorax": "Pneumothorax", "Cardiomegaly": "Cardiomegaly",
}  # fmt: skip
_STRUCTURES = {
    "left_lung": "left_lung", "right_lung": "right_lung", "heart": "cardiomediastinum",
    "Opacity": "ground_glass_opacities", "Effusion": "pleural_effusion", "Pneumothorax": "pneumothorax",
}  # fmt: skip
_LISTS = {"train": "train_list.txt", "validation": "val_list.txt", "test": "test_list.txt"}
_SPLITS = {"train": "train", "validation": "val", "test": "test"}


def write_cxr14_mini_twin(folder: Path, seed: int, size: Size) -> tuple[int, str | None]:
    """images/, Data_Entry_2017_mini.csv and one list for each split."""
    films = list(_films(seed, "cxr14", 2))
    names = [_write_cxr14_film(folder / "images", film) for film in films]
    _write_cxr14_table(folder / "Data_Entry_2017_mini.csv", films)
    for split, file in _LISTS.items():
        chosen = [name for name, film in zip(names, films, strict=True) if _split(film) == split]
        (folder / file).write_text("\n".join(chosen) + "\n")
    return len(films), _spoil(folder / "images" / names[0])


def write_cxr14_twin(folder: Path, seed: int, size: Size) -> tuple[int, str | None]:
    """The full release: images_001/images/ and so on, Data_Entry_2017_v2020.csv, boxes, two lists."""
    films = list(_films(seed, "cxr14", 2))
    places = [folder / f"images_{1 + film.visit.patient.number % 3:03d}" / "images" for film in films]
    names = [_write_cxr14_film(place, film) for place, film in zip(places, films, strict=True)]
    _write_cxr14_table(folder / "Data_Entry_2017_v2020.csv", films)
    tested = [name for name, film in zip(names, films, strict=True) if _split(film) == "test"]
    (folder / "test_list.txt").write_text("\n".join(tested) + "\n")
    (folder / "train_val_list.txt").write_text("\n".join(name for name in names if name not in tested) + "\n")
    boxes = "".join(f"{name},Nodule,{box},,,\n" for name, film in zip(names, films, strict=True) if (box := _box(film)))
    (folder / "BBox_List_2017.csv").write_text("Image Index,Finding Label,Bbox [x,y,w,h],,,\n" + boxes)
    return len(films), _spoil(places[0] / names[0])


def write_chexpert_twin(folder: Path, seed: int, size: Size) -> tuple[int, str | None]:
    """train.csv and valid.csv with 1, 0, -1 and blanks, and JPEGs below train/ and valid/."""
    films = list(_films(seed, "chexpert", 2))
    paths: list[str] = []
    for table, tested in (("train", False), ("valid", True)):
        rows: list[list[object]] = []
        for film in films:
            if (_split(film) == "test") == tested:
                paths.append(_chexpert_path(table, film))
                write_grey(folder / paths[-1], film.image)
                rows.append([f"CheXpert-v1.0-small/{paths[-1]}", *_chexpert_cells(seed, film, tested)])
        header = ["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *_CHEXPERT]
        write_csv(folder / f"{table}.csv", header, rows)
    return len(paths), _spoil(folder / paths[0], paths[0])


def write_hannover_twin(folder: Path, seed: int, size: Size) -> tuple[int, str | None]:
    """png/, data.csv and splits.csv; grey values lie in a narrow range, ages and most laboratory values are empty."""
    films = list(_films(seed, "hannover", 2))
    rows, splits = list[list[object]](), list[list[object]]()
    for film in films:
        person, image = (
            _hexadecimal(film.visit.patient.number, 0),
            _hexadecimal(film.visit.patient.number, 1 + film.visit.number),
        )
        write_grey(folder / "png" / f"{image}.png", 0.35 + 0.3 * film.image[: 5 * len(film.image) // 6])
        view, sex = film.visit.view.lower(), film.visit.patient.sex.lower()
        rows.append([person, image, sex, "", "", "", film.visit.number, "", "", "", "CR", view, "0.0", "3.0"])
        splits.append([person, image, _SPLITS[_split(film)]])
    header = (
        "patient_id image_id sex age size weight admission_offset icu_admission_offset icu_release_offset death_offset "
        "modality projection crp_offset crp_val"
    )
    write_csv(folder / "data.csv", header.split(), rows)
    write_csv(folder / "splits.csv", ["patient_id", "image_id", "split"], splits)
    return len(films), _spoil(folder / "png" / f"{rows[0][1]}.png", str(rows[0][1]))


def write_structures_twin(folder: Path, seed: int, size: Size) -> tuple[int, str | None]:
    """images/, masks/<stem>__<structure>.png and metadata.csv; a mask of one film has another size."""
    rows: list[list[object]] = []
    films = list(_films(seed, "structures", 2, pixels=80))
    for film in films:
        stem = f"phantom-{film.visit.patient.number}-{film.visit.number}-{film.visit.view}"
        write_grey(folder / "images" / f"{stem}.png", film.image[:64])
        drawn = {name: film.masks[own][:64] for own, name in _STRUCTURES.items() if film.masks[own][:64].any()}
        for name, mask in drawn.items():
            write_mask(folder / "masks" / f"{stem}__{name}.png", mask)
        rows.append(
            [
                f"images/{stem}.png", _SPLITS[_split(film)], film.visit.patient.number, "Simulated", film.visit.view,
                film.visit.patient.sex, film.visit.age_years, 80, 64, 80, 64, "|".join(drawn),
                f"{stem}.png", "CC0-1.0", "", "",
            ]
        )  # fmt: skip
    header = (
        "image,split,patientid,finding,view,sex,age,width,height,orig_width,orig_height,structures,original_filename,"
        "license,source_url,doi"
    )
    write_csv(folder / "metadata.csv", header.split(","), rows)
    broken = Path(str(rows[0][0])).stem
    write_mask(folder / "masks" / f"{broken}__left_lung.png", np.ones((20, 30), np.bool_))
    return len(films), broken


def _films(seed: int, card: str, most: int, pixels: int = 64) -> Iterator[Film]:
    """At most so many films of each person; every set has other people."""
    own = int(derive_rng(seed, card).integers(1 << 40))
    for film in draw_films(own, _PEOPLE, pixels):
        if film.visit.number < most:
            yield film


def _split(film: Film) -> str:
    return split_of(film.visit.patient.number)


def _spoil(path: Path, name: str | None = None) -> str:
    cut_in_half(path)
    return name or path.name


def _write_cxr14_film(folder: Path, film: Film) -> str:
    """One in seven is RGBA."""
    name = f"{film.visit.patient.number + 1:08d}_{film.visit.number:03d}.png"
    (write_rgba if film.visit.patient.number % 7 == 6 else write_grey)(folder / name, film.image)
    return name


def _write_cxr14_table(path: Path, films: list[Film]) -> None:
    lines = [_CXR14_HEADER]
    for film in films:
        number, visit = film.visit.patient.number + 1, film.visit
        found = "|".join(sorted(_CXR14[name] for name in visit.findings)) or "No Finding"
        sex = visit.patient.sex
        lines.append(
            f"{number:08d}_{visit.number:03d}.png,{found},{visit.number},{number},{visit.age_years},{sex},{visit.view},2500,2500,0.16,0.16"
        )
    path.write_text("\n".join(lines) + "\n")


def _box(film: Film) -> str:
    """The smallest box around a nodule, in pixels of an image of 1024; "" without one."""
    rows, columns = np.nonzero(film.masks["Nodule"])
    if not len(rows):
        return ""
    scale = 1024 / len(film.image)
    left, top = scale * columns.min(), scale * rows.min()
    return f"{left:.6f},{top:.6f},{scale * (columns.max() + 1) - left:.6f},{scale * (rows.max() + 1) - top:.6f}"


def _chexpert_path(table: str, film: Film) -> str:
    person, study = film.visit.patient.number + 1, film.visit.number + 1
    return f"{table}/patient{person:05d}/study{study}/view1_frontal.jpg"


def _chexpert_cells(seed: int, film: Film, certain: bool) -> list[object]:
    """Sex to the last observation; reports leave blanks and doubts, the experts of valid.csv do not."""
    rng = derive_rng(seed, "report", film.visit.patient.number, film.visit.number)
    there = {_TO_CHEXPERT[name] for name in film.visit.findings} or {"No Finding"}
    cells: list[object] = []
    for name in _CHEXPERT:
        said = (
            ("1.0" if name in there else "0.0")
            if certain
            else ("1.0" if name in there else rng.choice(["", "", "0.0"]))
        )
        doubtful = not certain and name in there and name != "No Finding" and rng.random() < 0.25
        cells.append("-1.0" if doubtful else said)
    sex = {"F": "Female", "M": "Male"}[film.visit.patient.sex]
    return [sex, film.visit.age_years, "Frontal", film.visit.view, *cells]


def _hexadecimal(*keys: int) -> str:
    return f"{int(derive_rng('hannover', *keys).integers(1 << 32)):08x}"
