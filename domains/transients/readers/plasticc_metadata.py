"""PLAsTiCC metadata tables, in the Kaggle and in the Zenodo layout, and which one belongs to a light-curve table."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64, Shaped

from armillary.core.errors import DataError
from armillary.domains.transients.readers.blocks import Column, read_blocks
from armillary.domains.transients.readers.report import Report

# The columns that may enter; the answers (true_*, tflux_*) and what is derived from them (distmod) do not.
COLUMNS = {
    "object_id": Column(("object_id",), np.int64),
    "ra": Column(("ra",), np.float64),
    "dec": Column(("decl",), np.float64),
    "redshift": Column(("hostgal_photoz",), np.float32),
    "redshift_error": Column(("hostgal_photoz_err",), np.float32),
    "redshift_spec": Column(("hostgal_specz",), np.float32),
    "mwebv": Column(("mwebv",), np.float32),
    "target": Column(("target",), np.float32, required=False),  # Kaggle's test set has none
}
UNKNOWN_IF_NEGATIVE = ("redshift", "redshift_error", "redshift_spec", "mwebv")  # Zenodo writes -9


@dataclass
class Metadata:
    """Metadata by object, sorted by id; objects that were asked for and are not there are counted.

    A photometric redshift of 0 marks a Galactic object and stays 0.
    """

    name: str = ""
    object_id: Int64[np.ndarray, " n"] = field(default_factory=lambda: np.zeros(0, np.int64))
    columns: dict[str, Shaped[np.ndarray, " n"]] = field(default_factory=dict[str, Any])
    missing: int = 0
    first_missing: int = 0

    def contains(self, ids: Int64[np.ndarray, " m"]) -> Bool[np.ndarray, " m"]:
        """Which objects the table has."""
        if not len(self.object_id):
            return np.zeros(len(ids), np.bool_)
        return self.object_id[self._places(ids)] == ids

    def look_up(self, ids: Int64[np.ndarray, " m"]) -> dict[str, Shaped[np.ndarray, " m"]]:
        """The objects' metadata as fields of LightCurves; NaN and "" for those that are not in the table."""
        found = self.contains(ids)
        places = self._places(ids)[found]
        if self.name and not found.all():
            self.first_missing = self.first_missing if self.missing else int(ids[~found][0])
            self.missing += int((~found).sum())
        fields: dict[str, np.ndarray] = {}
        for name, column in COLUMNS.items():
            if name == "object_id":
                continue
            values = np.full(len(ids), np.nan, column.kind)
            if name in self.columns:
                values[found] = self.columns[name][places]
            fields[name] = values
        target = fields.pop("target")
        codes = np.where(np.isnan(target), -1, target).astype(np.int64)
        return fields | {"label": np.where(codes < 0, "", codes.astype(np.str_))}

    def report_missing(self, path: Path, report: Report) -> None:
        """Say once how many objects of a light-curve table had no metadata."""
        if self.missing:
            report(
                DataError(
                    f"{self.missing} objects are not in the metadata table {self.name}, first {self.first_missing}",
                    path=path,
                    advice="They are kept without position, redshift and label. Give the matching metadata table.",
                )
            )
        self.missing = 0

    def _places(self, ids: Int64[np.ndarray, " m"]) -> Int64[np.ndarray, " m"]:
        return np.minimum(np.searchsorted(self.object_id, ids), len(self.object_id) - 1)


def read_metadata(path: Path, report: Report) -> Metadata:
    """The allowed columns of a metadata table; 46 bytes of memory an object."""
    blocks = list(read_blocks(path, COLUMNS, report))
    if not blocks:
        raise DataError("has a header but no rows", path=path, advice="Fetch it again.")
    columns = {name: np.concatenate([block.columns[name] for block in blocks]) for name in blocks[0].columns}
    ids, first = np.unique(columns.pop("object_id"), return_index=True)
    repeated = sum(len(block.rows) for block in blocks) - len(ids)
    if repeated:
        report(
            DataError(
                f"{repeated} rows repeat an object", path=path,
                advice="The first row of each object counts. Remove the others.",
            )
        )  # fmt: skip
    columns = {name: column[first] for name, column in columns.items()}
    for name in UNKNOWN_IF_NEGATIVE:
        columns[name][columns[name] < 0] = np.nan
    return Metadata(path.name, ids, columns)


def companion(table: Path, first_id: int, given: Iterable[Path], beside: Iterable[Path], report: Report) -> Metadata:
    """The metadata table that has the light-curve table's first object; no metadata when none has.

    Tables the user gave come before those that lie beside the table; among these, likeness of name decides the order.
    """

    def likeness(path: Path) -> int:
        return -next((n for n, (a, b) in enumerate(zip(path.name, table.name, strict=False)) if a != b), len(path.name))

    for path in dict.fromkeys([*sorted(given, key=likeness), *sorted(beside, key=likeness)]):
        try:
            metadata = read_metadata(path, report)
        except DataError as error:
            report(error)
            continue
        if metadata.contains(np.array([first_id])).all():
            return metadata
    return Metadata()
