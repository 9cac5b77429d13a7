"""Folders of pictures with a table: the simulated set, and a small one as a user might have it."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from armillary.core.domain import Size
from armillary.domains.medical.simulation.lesion import draw_skin
from armillary.domains.medical.simulation.patients import FINDINGS
from armillary.domains.medical.simulation.phantom import STRUCTURES, Film, draw_films
from armillary.domains.medical.simulation.pictures import (
    cut_in_half,
    write_colour,
    write_grey,
    write_grey12,
    write_mask,
)

SIZE = 64  # pixels of a side
TABLE = "labels.csv"
_ABSENT = "absent"  # what the table says of a structure that is not in the image
PATIENTS: dict[Size, int] = {"default": 240, "twin": 10}
_TENTHS = ("train",) * 6 + ("validation",) * 2 + ("test",) * 2


def split_of(number: int) -> str:
    """Six of ten patients train, two validate, two test."""
    return _TENTHS[number % 10]


def write_simulated_chest(folder: Path, seed: int, size: Size) -> tuple[int, str | None]:
    """images/ and masks/ of simulated chest films, and labels.csv; every fourth patient's films have 12 bits.

    240 patients with about 600 films, or the twin's 10. One film of the twin is cut in half.
    """
    rows: list[dict[str, object]] = []
    for film in draw_films(seed, PATIENTS[size], SIZE):
        rows.append(_write_film(folder, film))
    _write_table(folder / TABLE, rows)
    if size != "twin":
        return len(rows), None
    broken = str(rows[-1]["file"])
    cut_in_half(folder / broken)
    return len(rows), broken


def _write_film(folder: Path, film: Film) -> dict[str, object]:
    patient = film.visit.patient
    stem = f"p{patient.number:04d}_{film.visit.number}"
    write = write_grey12 if patient.number % 4 == 3 else write_grey
    write(folder / "images" / f"{stem}.png", film.image)
    row: dict[str, object] = {
        "file": f"images/{stem}.png",
        "split": split_of(patient.number),
        "patient": f"p{patient.number:04d}",
        "sex": patient.sex,
        "age": film.visit.age_years,
        "view": film.visit.view,
        "spacing_mm": f"{film.spacing_mm:g}",
    }
    row |= film.labels
    for name in (*STRUCTURES, *FINDINGS):
        row[f"mask_{name}"] = _write_masked(folder, stem, name, film)
    return row


def _write_masked(folder: Path, stem: str, name: str, film: Film) -> str:
    if not film.masks[name].any():
        return _ABSENT
    path = f"masks/{stem}__{name}.png"
    write_mask(folder / path, film.masks[name])
    return path


def write_image_folder_twin(folder: Path, seed: int, size: Size) -> tuple[int, str | None]:
    """Colour pictures of moles with masks and a label, two of each person; the last is cut in half."""
    rows: list[dict[str, object]] = []
    for index in range(20):
        phantom, name = draw_skin(seed, index, 40), f"images/mole_{index:02d}.{'jpg' if index % 2 else 'png'}"
        write_colour(folder / name, phantom.image)
        write_mask(folder / f"masks/mole_{index:02d}.png", phantom.mask)
        dark = float(phantom.image[0][phantom.mask].mean()) < 0.45
        rows.append(
            {
                "file": name, "split": split_of(index // 2), "patient": f"person{index // 2}",
                "sex": "FM"[index % 4 // 2], "age": 20 + 3 * (index // 2), "dark": int(dark),
                "mask_mole": f"masks/mole_{index:02d}.png",
            }
        )  # fmt: skip
    _write_table(folder / TABLE, rows)
    cut_in_half(folder / str(rows[-1]["file"]))
    return len(rows), str(rows[-1]["file"])


def _write_table(path: Path, rows: Sequence[dict[str, object]]) -> None:
    write_csv(path, list(rows[0]), (row.values() for row in rows))


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    """A table in CSV with Unix line ends."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
