"""What readers tell of items that they leave out, or that are not what their file says."""

import warnings
from collections.abc import Callable

from armillary.core.errors import DataError

Report = Callable[[DataError], None]


def ignore(problem: DataError) -> None:
    """Tells nobody: for files that have been looked at before."""


def warn(problem: DataError) -> None:
    """A warning: for files read long after problems are collected, as in a loader's worker."""
    warnings.warn(str(problem), RuntimeWarning, stacklevel=2)
