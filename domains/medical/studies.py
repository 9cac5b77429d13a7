"""One image of a data set with what is known about it; its pixels stay in their file until they are asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32

from armillary.core.domain import Split
from armillary.core.errors import ConfigError, near_miss
from armillary.domains.medical.readers.report import Report
from armillary.domains.medical.sources.source import Measured

Sex = Literal["F", "M", ""]
NAN = float("nan")


@runtime_checkable
class ImageSource(Measured, Protocol):
    """Where an image lies."""

    def load(self, report: Report = ...) -> Float32[np.ndarray, "c *s"]:
        """Grey values in [0, 1], channels first; what is doubtful is reported.

        Raises:
            DataError: it cannot be read.
        """
        ...


@runtime_checkable
class MaskSource(Measured, Protocol):
    """Where the drawing of one structure lies."""

    def load(self, report: Report = ...) -> Float32[np.ndarray, " *s"]:
        """1 inside the structure, 0 outside.

        Raises:
            DataError: it cannot be read.
        """
        ...


@dataclass(frozen=True)
class Absent:
    """A structure that was looked for and is not in the image: its mask is zero everywhere."""


Mask = MaskSource | Absent | None  # None: nobody drew the structure, so nothing is known of it


def no_target() -> Float32[np.ndarray, "0"]:
    """The target where no label is asked for."""
    return np.zeros(0, np.float32)


@dataclass(frozen=True, eq=False)
class Study:
    """One image, lazily; what is not told is "" or NaN.

    split: "" where the set does not say. target: 1, 0 or NaN (unknown) for each of data.names; one-hot for classes;
    none for masks and pre-training. masks: one for each of data.names where masks are asked for. view: "PA", "AP",
    "lateral", or what the set calls it. spacing_mm: distance of pixels along each axis (planes, rows, columns) of the
    stored image [mm]; empty or NaN where the table does not tell, the file may.
    """

    id: str
    image: ImageSource
    patient: str = ""
    split: Split | Literal[""] = ""
    target: Float32[np.ndarray, " k"] = field(default_factory=no_target)
    masks: tuple[Mask, ...] = ()
    sex: Sex = ""
    age_years: float = NAN
    view: str = ""
    spacing_mm: tuple[float, ...] = ()

    @property
    def group(self) -> str:
        """What must not straddle splits: the patient; an image of nobody known is its own."""
        return self.patient or self.id


def of_views(studies: Sequence[Study], views: Sequence[str]) -> list[Study]:
    """Those of some views, whatever the case of their letters; all where none is named.

    Raises:
        ConfigError: no image has one of them.
    """
    if not views:
        return list(studies)
    wanted = {view.casefold() for view in views}
    chosen = [study for study in studies if study.view.casefold() in wanted]
    if not chosen:
        there = {study.view for study in studies if study.view}
        hint = near_miss(views[0], there) if there else ": the images' views are not told"
        raise ConfigError(f"data.views: no image has the view {' or '.join(views)}{hint}")
    return chosen
