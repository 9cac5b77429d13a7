"""Frames that no one can use: samples that are not finite, or nothing but zeros."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32

from armillary.core.errors import DataError
from armillary.domains.modulation.readers.report import Report


def finite(iq: Float32[np.ndarray, "n 2 l"]) -> Bool[np.ndarray, " n"]:
    """Frames without NaN or infinity."""
    return np.asarray(np.isfinite(iq).all((1, 2)))


def filled(iq: Float32[np.ndarray, "n 2 l"]) -> Bool[np.ndarray, " n"]:
    """Frames with a sample that is not zero."""
    return np.asarray((iq != 0).any((1, 2)))


def usable(
    iq: Float32[np.ndarray, "n 2 l"], path: Path, item: Callable[[int], str], report: Report
) -> Bool[np.ndarray, " n"]:
    """Frames of a set that can be used; each other one is reported under its own name."""
    whole, loud = finite(iq), filled(iq)
    for index in np.flatnonzero(~(whole & loud)).tolist():
        problem = "all samples are zero" if whole[index] else "samples that are not finite (NaN or infinity)"
        report(DataError(problem, path=path, item=item(index), advice="The frame is left out."))
    return whole & loud
