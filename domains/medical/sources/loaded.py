"""An image that is in memory already: of a file being predicted, or made by a notebook."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from armillary.domains.medical.readers.report import Report
from armillary.domains.medical.sources.source import unknown_spacing
from armillary.domains.medical.sources.warn import warn


@dataclass(frozen=True, eq=False)
class LoadedSource:
    """Grey values in [0, 1], channels first."""

    image: Float32[np.ndarray, "c *s"]

    def load(self, report: Report = warn) -> Float32[np.ndarray, "c *s"]:
        """The image as it is; nothing is reported."""
        return self.image

    def shape(self) -> tuple[int, ...]:
        """Pixels along each axis."""
        return self.image.shape[1:]

    def spacing_mm(self) -> tuple[float, ...]:
        """NaN: nothing is told."""
        return unknown_spacing(self.image.ndim - 1)
