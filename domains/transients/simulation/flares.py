"""Flares of M dwarfs: minutes up, hours down, hot, on a cool star."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from armillary.domains.transients.simulation.population import Scene
from armillary.domains.transients.simulation.source import flux_from_magnitude
from armillary.domains.transients.simulation.spectra import planck
from armillary.domains.transients.simulation.stellar import Star

_U_BAND = 3685.0  # [Angstrom]
_FLARE_TEMPERATURE = 9500.0  # [K]


@dataclass(frozen=True)
class FlareStar:
    """Flares that start at once and fade as two exponentials, 80 % fast and 20 % ten times slower.

    starts (MJD), decays [d] and peaks [FLUXCAL at 3685 Angstrom] have one entry a flare; the light is that of a black
    body of 9500 K, so flares stand out in u and g.

    References:
        Davenport et al. 2014, "Kepler flares II", eq. 4 (impulsive and gradual decay).
    """

    star: Star
    starts: Float[np.ndarray, " f"]
    decays: Float[np.ndarray, " f"]
    peaks: Float[np.ndarray, " f"]
    redshift: float = 0.0

    def flux(self, time: Float[np.ndarray, " n"], wavelength: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        age = (time[:, None] - self.starts) / self.decays
        started = age >= 0
        age = np.clip(age, 0.0, 600.0)
        profile = np.where(started, 0.8 * np.exp(-age) + 0.2 * np.exp(-age / 10.0), 0.0)
        colour = planck(wavelength, _FLARE_TEMPERATURE) / planck(np.full(1, _U_BAND), _FLARE_TEMPERATURE)
        return (profile @ self.peaks) * colour

    def quiescent(self, wavelength: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        return self.star.flux(wavelength)


def draw_flare_star(rng: np.random.Generator, scene: Scene) -> FlareStar:
    """An active M dwarf: flares every few days to weeks, their energies a power law, so most are too weak to see."""
    star = Star(rng.uniform(18.5, 22.0), rng.normal(3000.0, 150.0))
    num_flares = int(rng.poisson((scene.end - scene.start) * rng.uniform(0.05, 0.25)))
    # A Pareto law of index 1 (dN/dE ~ E^-2) from a flare one magnitude below the limit upwards.
    weakest = float(flux_from_magnitude(scene.limit - 0.5))
    peaks = np.minimum(weakest * (1.0 + rng.pareto(1.0, num_flares)), 300.0 * weakest)
    return FlareStar(
        star=star,
        starts=np.sort(rng.uniform(scene.start, scene.end, num_flares)),
        decays=rng.lognormal(np.log(0.02), 0.6, num_flares),
        peaks=peaks,
    )
