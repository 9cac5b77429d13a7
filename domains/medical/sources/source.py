"""What a source can tell of its image before the pixels are read."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32

from armillary.domains.medical.readers.report import Report


@runtime_checkable
class Measured(Protocol):
    """A source, of an image or a mask, whose header is cheap to read."""

    def load(self, report: Report = ...) -> Float32[np.ndarray, "..."]:
        """The pixels; what is strange about them is reported."""
        ...

    def shape(self) -> tuple[int, ...]:
        """Pixels along each axis (rows, columns; planes first) by the header alone.

        Raises:
            DataError: there is no such file, or it is none of its kind.
        """
        ...

    def spacing_mm(self) -> tuple[float, ...]:
        """Distance of pixels along each axis [mm], NaN where the file does not tell; by the header alone."""
        ...


def unknown_spacing(rank: int) -> tuple[float, ...]:
    """The spacing where no file tells it."""
    return (float("nan"),) * rank
