"""What every model of a varying object offers: its flux change and its constant light at any time and wavelength."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

ZERO_POINT = 27.5  # [mag AB] of the flux scale FLUXCAL


@runtime_checkable
class Source(Protocol):
    """One object without noise, as a telescope outside the Galaxy's dust would see it.

    `flux` is the difference to the survey's reference image and may be negative; `quiescent` is the light of the
    object itself in that image (0 for an explosion), which adds photon noise. Both in FLUXCAL, zero point 27.5 mag.
    """

    @property
    def redshift(self) -> float:
        """0 for objects of our Galaxy."""
        ...

    def flux(self, time: Float[np.ndarray, " n"], wavelength: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Difference flux at each time (MJD) [d] and observed wavelength [Angstrom]."""
        ...

    def quiescent(self, wavelength: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Constant flux at each observed wavelength [Angstrom]."""
        ...


def flux_from_magnitude(magnitude: Float[np.ndarray, "*shape"] | float) -> Float[np.ndarray, "*shape"]:
    """FLUXCAL = 10^(-0.4 (m - 27.5)) of AB magnitudes."""
    return np.asarray(10.0 ** (-0.4 * (np.asarray(magnitude, np.float64) - ZERO_POINT)))


def magnitude_from_flux(flux: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """AB magnitude 27.5 - 2.5 log10(FLUXCAL) of positive fluxes [mag]."""
    return ZERO_POINT - 2.5 * np.log10(flux)
