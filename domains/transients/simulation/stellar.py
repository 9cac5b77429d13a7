"""The constant light of a star: what a Galactic source shows in the reference image."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from armillary.domains.transients.simulation.source import flux_from_magnitude
from armillary.domains.transients.simulation.spectra import planck

R_BAND = 6231.0  # [Angstrom]


@dataclass(frozen=True)
class Star:
    """A black body of `temperature` [K] with an AB magnitude `r_magnitude` at 6231 Angstrom."""

    r_magnitude: float
    temperature: float

    def flux(self, wavelength: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Flux at each wavelength [FLUXCAL]."""
        shape = planck(wavelength, self.temperature) / planck(np.full(1, R_BAND), self.temperature)
        return flux_from_magnitude(self.r_magnitude) * shape
