"""An explosion that shines as a black body of changing luminosity and temperature, seen from any redshift."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from armillary.domains.transients.cosmology import distance_modulus
from armillary.domains.transients.simulation.source import flux_from_magnitude
from armillary.domains.transients.simulation.spectra import blanketing, dust_transmission, planck_per_luminosity

REFERENCE_WAVELENGTH = 4400.0  # rest frame [Angstrom]; absolute magnitudes are quoted here


@runtime_checkable
class Luminosity(Protocol):
    """Bolometric luminosity against phase, relative to any constant."""

    def __call__(self, phase: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Luminosity at rest-frame days since maximum [d]."""
        ...


@dataclass(frozen=True)
class Cooling:
    """T = floor + (peak - floor) exp(-phase / timescale) [K], never above `ceiling` times the value at phase 0."""

    peak: float
    floor: float
    timescale: float
    ceiling: float = 1.4

    def __call__(self, phase: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        decay = np.exp(np.minimum(-phase / self.timescale, 5.0))
        return np.minimum(self.floor + (self.peak - self.floor) * decay, self.ceiling * self.peak)


@dataclass(frozen=True)
class ThermalTransient:
    """F(t, lambda) = 10^(-0.4 (M + mu(z) - 2.5 log10(1+z) - 27.5)) L(p) S(l, p) / (L(0) S(4400 A, 0)).

    p = (t - t_peak) / (1+z) and l = lambda / (1+z) are phase and wavelength at rest; S is B_nu / T^4 of the cooling
    black body times line blanketing bluewards of `blanketing_onset` [Angstrom] and the host galaxy's dust (A_V [mag]).
    `red_bump` adds the second maximum of thermonuclear supernovae, `red_bump` times the light, redwards of 7000 A
    around `bump_phase` [d].

    References:
        Hogg et al. 2002, "The K correction", eq. 8 (the factor 1+z of flux per frequency).
    """

    peak_time: float
    redshift: float
    peak_magnitude: float
    luminosity: Luminosity
    temperature: Cooling
    blanketing_onset: float = 0.0
    host_a_v: float = 0.0
    red_bump: float = 0.0
    bump_phase: float = 25.0

    def flux(self, time: Float[np.ndarray, " n"], wavelength: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        phase = (time - self.peak_time) / (1.0 + self.redshift)
        rest = wavelength / (1.0 + self.redshift)
        apparent = self.peak_magnitude + distance_modulus(self.redshift) - 2.5 * np.log10(1.0 + self.redshift)
        reference = self._light(np.zeros(1), np.full(1, REFERENCE_WAVELENGTH))
        dust = dust_transmission(rest, self.host_a_v)
        return flux_from_magnitude(apparent) * dust * self._light(phase, rest) / reference

    def quiescent(self, wavelength: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        return np.zeros_like(wavelength)

    def _light(self, phase: Float[np.ndarray, " n"], rest: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        spectrum = planck_per_luminosity(rest, self.temperature(phase))
        if self.blanketing_onset:
            spectrum = spectrum * blanketing(rest, self.blanketing_onset)
        if self.red_bump:
            near_infrared = 1.0 / (1.0 + np.exp((7000.0 - rest) / 300.0))
            spectrum = spectrum * (
                1.0 + self.red_bump * near_infrared * np.exp(-0.5 * ((phase - self.bump_phase) / 8.0) ** 2)
            )
        return self.luminosity(phase) * spectrum
