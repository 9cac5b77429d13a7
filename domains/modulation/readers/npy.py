"""NumPy files of one array of complex samples."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Complex64

from armillary.core.errors import DataError
from armillary.domains.modulation.readers.capture import Capture
from armillary.domains.modulation.readers.report import Report
from armillary.domains.modulation.readers.samples import BLOCK_SAMPLES
from armillary.domains.modulation.settings import ModulationPredict


def open_npy(path: Path, settings: ModulationPredict, report: Report) -> Iterator[Capture]:
    """The samples of a .npy file of one complex axis, mapped, not loaded; pickled objects are refused.

    Raises:
        DataError: the file is damaged, or holds anything but complex samples along one axis.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(
            f"is no NumPy array that can be mapped: {str(error)[:200]}",
            path=path,
            advice="Save it with numpy.save, as complex64.",
        ) from error
    if array.dtype.kind != "c" or array.ndim != 1:
        raise DataError(
            f"holds {array.dtype} of shape {array.shape}; expected complex samples along one axis",
            path=path,
            advice="Save the samples of one recording as complex64.",
        )
    yield Capture(str(path), lambda: _blocks(array))


def _blocks(array: np.ndarray) -> Iterator[Complex64[np.ndarray, " s"]]:
    with np.errstate(over="ignore"):
        for start in range(0, len(array), BLOCK_SAMPLES):
            yield np.array(array[start : start + BLOCK_SAMPLES], np.complex64)
