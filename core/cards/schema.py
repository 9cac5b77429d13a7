"""What a data card says: one frozen record a dataset. Free of torch and of the network."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, NonNegativeInt, StringConstraints, model_validator

from armillary.core.config.settings import Settings


def _inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or "\\" in path or ":" in parts[0] or ".." in parts:
        raise ValueError("a path is relative to the dataset's folder, with / and without ..")
    return path


Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
RelativePath = Annotated[str, AfterValidator(_inside)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
WebAddress = Annotated[str, StringConstraints(pattern=r"^https?://[^\s<>\"']+$")]
Permission = bool | Literal["unclear"]
Scalar = bool | int | float | str


def _permission(value: bool | str) -> str:
    return value if isinstance(value, str) else "allowed" if value else "not allowed"


class Licence(Settings):
    """What may be done with the data: an SPDX expression, or the words of the source where there is none."""

    spdx: Text | None = None
    text: Text | None = None
    commercial: Permission
    redistribute: Permission

    @model_validator(mode="after")
    def _has_one(self) -> "Licence":
        if self.spdx is None and self.text is None:
            raise ValueError("a licence needs spdx (an SPDX expression) or text (the words of the source)")
        return self

    def __str__(self) -> str:
        name = self.spdx or self.text or ""
        uses = {"commercial use": self.commercial, "redistribution": self.redistribute}
        return f"{name} ({', '.join(f'{use} {_permission(value)}' for use, value in uses.items())})"


class CardFile(Settings):
    """One file of the dataset. What has an address has a size and a digest too."""

    path: RelativePath
    bytes: NonNegativeInt | None = Field(None, description="size [bytes]; None where nobody could measure it")
    sha256: Sha256 | None = None
    url: WebAddress | None = None
    about: str = ""

    @model_validator(mode="after")
    def _can_be_checked(self) -> "CardFile":
        if self.url is not None and (self.bytes is None or self.sha256 is None):
            raise ValueError("a file with a url needs bytes and sha256, else a download cannot be checked")
        return self


class ItemArray(Settings):
    """One array of an item. `spacing` is the step along regular axes, `rate` its inverse, both with units."""

    axes: tuple[str, ...] = ()
    dtype: str
    unit: str = "1"
    spacing: Mapping[str, str] = Field(default_factory=dict[str, str])
    rate: str | None = None
    about: str = ""


class CardSplit(Settings):
    """One split: the file that lists its items, or the rule that makes it."""

    file: RelativePath | None = None
    rule: Text | None = None
    items: NonNegativeInt | None = Field(None, description="number of items")

    @model_validator(mode="after")
    def _has_one(self) -> "CardSplit":
        if self.file is None and self.rule is None:
            raise ValueError("a split needs file (a list of its items) or rule (how it is made)")
        return self


class Card(Settings):
    """A dataset: what it is, who may use it, which files it has and how it is split.

    `group_key` names what must not straddle the splits (patient, speaker, object, ...). `simulated` is true of
    every simulation, also of one that others made; `generator` says how `armillary data simulate` makes it here.
    `manual` tells a person how to get what cannot be fetched.
    """

    id: Identifier
    version: Scalar
    title: Text
    domain: Identifier
    homepage: WebAddress | None = None
    citation: tuple[Text, ...] = Field(min_length=1)
    licence: Licence
    simulated: bool
    generator: Text | None = None
    manual: Text | None = None
    files: tuple[CardFile, ...] = ()
    format: Text
    item: Mapping[str, ItemArray] = Field(min_length=1)
    splits: Mapping[str, CardSplit] = Field(min_length=1)
    group_key: Text
    known_problems: tuple[str, ...] = ()
    statistics: Mapping[str, Scalar | Mapping[str, Scalar]] = Field(default_factory=dict)
    about: Mapping[str, Scalar | tuple[Scalar, ...]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _can_be_had(self) -> "Card":
        if self.generator is not None and not self.simulated:
            raise ValueError("a card with a generator is of simulated data: set simulated to yes")
        if self.generator is None and not self.files:
            raise ValueError("a card needs files, or a generator that makes them")
        if self.generator is None and self.manual is None and any(file.url is None for file in self.files):
            raise ValueError("files without a url need manual: the steps by which a person gets them")
        repeated = {file.path for file in self.files if [other.path for other in self.files].count(file.path) > 1}
        if repeated:
            raise ValueError(f"files are listed twice: {', '.join(sorted(repeated))}")
        return self
