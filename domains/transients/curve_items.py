"""What baselines and figures read of the items of any system."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from armillary.core.errors import DataError
from armillary.domains.transients.lightcurves import LightCurves


@runtime_checkable
class CurveItems(Protocol):
    """Items with their light curves as the system sees them.

    targets (n,): place of each object's class in class_names, -1 unknown.
    """

    ids: np.ndarray
    groups: np.ndarray
    curves: LightCurves
    targets: np.ndarray
    class_names: Sequence[str]
    problems: Sequence[DataError]

    def __len__(self) -> int: ...

    def __getitem__(self, key: tuple[int, int]) -> Mapping[str, Any]: ...

    def collate(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Any]: ...

    def select(self, indices: np.ndarray) -> "CurveItems":
        """The items at `indices` as a dataset of their own."""
        ...
