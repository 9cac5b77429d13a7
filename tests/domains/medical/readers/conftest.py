"""Small twins of published sets: the same files, headers and values, with pictures of a few pixels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from armillary.core.errors import DataError
from armillary.domains.medical.readers.dataset import load_card
from armillary.domains.medical.settings import MedicalData
from armillary.domains.medical.studies import Study

NIH_HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)


@dataclass(frozen=True)
class Outcome:
    """What a reader gave and what it reported."""

    studies: list[Study]
    errors: list[DataError] = field(default_factory=list)

    def __getitem__(self, name: str) -> Study:
        return next(study for study in self.studies if study.id == name)

    def ids(self, split: str) -> list[str]:
        return [study.id for study in self.studies if study.split == split]

    def counts(self) -> dict[str, tuple[int, int]]:
        """(images, patients) of each split."""
        splits = sorted({study.split for study in self.studies})
        return {
            split: (len(self.ids(split)), len({study.group for study in self.studies if study.split == split}))
            for split in splits
        }

    def positives(self, split: str) -> list[int]:
        targets = np.stack([study.target for study in self.studies if study.split == split])
        return [int(count) for count in np.nansum(targets, 0)]

    @property
    def told(self) -> str:
        return "\n".join(map(str, self.errors))


@pytest.fixture
def load() -> Callable[..., Outcome]:
    """load(card, folder, **settings of the data): the studies and the reports."""

    def read(card: str, folder: Path, **settings: Any) -> Outcome:
        errors: list[DataError] = []
        return Outcome(load_card(card, folder, MedicalData(card=card, **settings), errors.append), errors)

    return read


@pytest.fixture
def picture() -> Callable[..., Path]:
    """picture(path, mode): a picture of 6 x 5 pixels, with the folders above it."""

    def write(path: Path, mode: str = "L") -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new(mode, (5, 6), 1).save(path)
        return path

    return write


@pytest.fixture
def nih(tmp_path: Path, picture: Callable[..., Path]) -> Callable[..., Path]:
    """nih(rows, lists, images): ChestX-ray14 with rows of (name, findings, patient); images where a name is to lie."""

    def write(
        rows: Sequence[tuple[str, str, int]], lists: dict[str, Sequence[str]], images: dict[str, str] | None = None
    ) -> Path:
        table = [f"{name},{found},0,{patient},057,M,PA,2500,2048,0.168,0.168" for name, found, patient in rows]
        (tmp_path / "Data_Entry_2017_v2020.csv").write_text("\n".join([NIH_HEADER, *table]) + "\n")
        for name, listed in lists.items():
            (tmp_path / name).write_text("\n".join(listed) + "\n")
        for name, place in (images or {name: "images" for name, _, _ in rows}).items():
            picture(tmp_path / place / name)
        return tmp_path

    return write
