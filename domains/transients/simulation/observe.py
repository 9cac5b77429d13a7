"""From a source's flux to what a telescope measures: dust, photon and sky noise, errors, detections."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from armillary.domains.transients.extinction import extinction_coefficient
from armillary.domains.transients.simulation.cadence import Visits
from armillary.domains.transients.simulation.source import Source, flux_from_magnitude

DETECTION_SNR = 5.0


@dataclass(frozen=True)
class Camera:
    """electrons: collected per FLUXCAL unit in a visit; error_floor: calibration error as share of the flux."""

    wavelengths: tuple[float, ...]
    electrons: float
    error_floor: float


@dataclass(frozen=True)
class Measured:
    """One object's light curve in time order; fluxes in FLUXCAL (zero point 27.5 mag)."""

    time: Float[np.ndarray, " n"]
    band: Int[np.ndarray, " n"]
    flux: Float[np.ndarray, " n"]
    flux_error: Float[np.ndarray, " n"]
    detected: Bool[np.ndarray, " n"]
    true_flux: Float[np.ndarray, " n"]


def observe(rng: np.random.Generator, source: Source, visits: Visits, camera: Camera, mwebv: float) -> Measured:
    """Measure a source at each visit.

    variance = sky^2 + (|F| + Q) / electrons + (floor F)^2, with sky = flux at the 5-sigma depth / 5, difference flux F
    and quiescent light Q behind Galactic dust of E(B-V) = `mwebv` [mag]. Detected: |flux| >= 5 errors.
    """
    wavelength = np.array(camera.wavelengths)[visits.band]
    dust = 10.0 ** (-0.4 * mwebv * extinction_coefficient(wavelength))
    flux = dust * source.flux(visits.time, wavelength)
    photons = (np.abs(flux) + dust * source.quiescent(wavelength)) / camera.electrons
    sky = flux_from_magnitude(visits.depth) / DETECTION_SNR
    error = np.sqrt(sky**2 + photons + (camera.error_floor * flux) ** 2)
    measured = flux + error * rng.standard_normal(len(flux))
    return Measured(visits.time, visits.band, measured, error, np.abs(measured) >= DETECTION_SNR * error, flux)
