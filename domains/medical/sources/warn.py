"""What sources tell of images that can be used, but not without a doubt."""

import warnings

from armillary.core.errors import DataError


def warn(problem: DataError) -> None:
    """A warning: for files read long after problems are collected, as in a loader's worker."""
    warnings.warn(str(problem), RuntimeWarning, stacklevel=2)


def ignore(problem: DataError) -> None:
    """Tells nobody: for files that have been told of before."""
