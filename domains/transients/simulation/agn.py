"""Active galactic nuclei: a damped random walk of the magnitude."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from armillary.domains.transients.simulation.population import Scene
from armillary.domains.transients.simulation.source import flux_from_magnitude


def damped_random_walk(
    rng: np.random.Generator, num_steps: int, spacing: float, timescale: float, deviation: float
) -> Float[np.ndarray, " n"]:
    """A stationary Ornstein-Uhlenbeck path on an even grid: covariance deviation^2 exp(-|dt| / timescale).

    Exact for any spacing: x_k = a x_(k-1) + deviation sqrt(1 - a^2) N(0, 1) with a = exp(-spacing / timescale).

    References:
        Kelly et al. 2009, "Are the variations in quasar optical flux driven by thermal fluctuations?", eq. 1-5.
    """
    from scipy.signal import lfilter

    memory = np.exp(-spacing / timescale)
    kicks = deviation * np.sqrt(1.0 - memory**2) * rng.standard_normal(num_steps)
    kicks[0] = deviation * rng.standard_normal()
    return np.asarray(lfilter([1.0], [1.0, -memory], kicks), np.float64)


@dataclass(frozen=True)
class ActiveNucleus:
    """A power law f_nu ~ lambda^slope whose magnitude wanders with one path in all bands, more in the blue.

    path: magnitudes at 4000 Angstrom at rest on an even grid from `start` (MJD), `spacing` days apart; the amplitude
    at another rest wavelength is (lambda / 4000)^-0.48. The reference image holds the mean magnitude.

    References:
        MacLeod et al. 2010, "Modeling the time variability of SDSS stripe 82 quasars", eq. 7 (wavelength dependence).
    """

    redshift: float
    magnitude: float
    slope: float
    start: float
    spacing: float
    path: Float[np.ndarray, " n"]

    def flux(self, time: Float[np.ndarray, " n"], wavelength: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        grid = self.start + self.spacing * np.arange(len(self.path))
        amplitude = (wavelength / (1.0 + self.redshift) / 4000.0) ** -0.48
        return self.quiescent(wavelength) * (10.0 ** (-0.4 * amplitude * np.interp(time, grid, self.path)) - 1.0)

    def quiescent(self, wavelength: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        return flux_from_magnitude(self.magnitude) * (wavelength / 6231.0) ** self.slope


def draw_agn(rng: np.random.Generator, scene: Scene) -> ActiveNucleus:
    """A quasar between redshift 0.1 and 3.5 with 0.1 to 0.3 mag of scatter over months to years."""
    redshift = float(np.clip(rng.gamma(2.2, 0.45), 0.1, 3.5))
    timescale = float(np.clip(rng.lognormal(np.log(180.0), 0.6), 40.0, 900.0)) * (1.0 + redshift)
    deviation = float(np.clip(rng.lognormal(np.log(0.17), 0.4), 0.06, 0.45))
    spacing = 1.0
    num_steps = int((scene.end - scene.start) / spacing) + 2
    return ActiveNucleus(
        redshift=redshift,
        magnitude=rng.uniform(18.5, scene.limit - 1.3),
        slope=rng.normal(0.45, 0.25),
        start=scene.start,
        spacing=spacing,
        path=damped_random_walk(rng, num_steps, spacing, timescale, deviation),
    )
