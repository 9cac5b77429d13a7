"""Spectral shapes: black bodies, dust, line blanketing of the ultraviolet."""

import numpy as np
from jaxtyping import Float

_HC_OVER_K = 1.438777e8  # second radiation constant h c / k [Angstrom K]


def planck(
    wavelength: Float[np.ndarray, "*shape"], temperature: Float[np.ndarray, "*shape"] | float
) -> Float[np.ndarray, "*shape"]:
    """B_nu of a black body in arbitrary units: lambda^-3 / (exp(h c / lambda k T) - 1), lambda [Angstrom], T [K]."""
    exponent = np.minimum(_HC_OVER_K / (wavelength * temperature), 600.0)
    return (wavelength / 5000.0) ** -3 / np.expm1(exponent)


def planck_per_luminosity(
    wavelength: Float[np.ndarray, "*shape"], temperature: Float[np.ndarray, "*shape"]
) -> Float[np.ndarray, "*shape"]:
    """B_nu / T^4: how a fixed bolometric luminosity (4 pi R^2 sigma T^4) is spread over wavelength."""
    return planck(wavelength, temperature) / (temperature / 1e4) ** 4


def dust_transmission(wavelength: Float[np.ndarray, "*shape"], a_v: float) -> Float[np.ndarray, "*shape"]:
    """10^(-0.4 A_V (lambda / 5500)^-1.3): share of light that passes dust with A_V magnitudes in V.

    The exponent -1.3 lies between the Galactic curve in the optical and that of starburst galaxies.

    References:
        Charlot & Fall 2000, "A simple model for the absorption of starlight by dust in galaxies", section 3.
    """
    return 10.0 ** (-0.4 * a_v * (wavelength / 5500.0) ** -1.3)


def blanketing(wavelength: Float[np.ndarray, "*shape"], onset: float) -> Float[np.ndarray, "*shape"]:
    """Light left by iron-group lines bluewards of `onset` [Angstrom]: a smooth step from 1 down to 5 %."""
    return 0.05 + 0.95 / (1.0 + np.exp(np.clip((onset - wavelength) / 180.0, -50.0, 50.0)))
