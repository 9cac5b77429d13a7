"""A star magnified by a compact mass that passes in front of it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from armillary.domains.transients.simulation.population import Scene
from armillary.domains.transients.simulation.stellar import Star


def magnification(separation: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """A(u) = (u^2 + 2) / (u sqrt(u^2 + 4)) of a point source by a point lens; u in Einstein radii.

    References:
        Paczynski 1986, "Gravitational microlensing by the galactic halo", eq. 11.
    """
    square = separation**2
    return (square + 2.0) / (separation * np.sqrt(square + 4.0))


@dataclass(frozen=True)
class Microlens:
    """u(t) = sqrt(u_min^2 + ((t - t_peak) / t_E)^2): symmetric in time and of one colour.

    blend: the lensed star's share of the light at its place.
    """

    star: Star
    peak_time: float
    einstein_time: float
    smallest_separation: float
    blend: float
    redshift: float = 0.0

    def flux(self, time: Float[np.ndarray, " n"], wavelength: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        separation = np.hypot(self.smallest_separation, (time - self.peak_time) / self.einstein_time)
        return self.blend * self.star.flux(wavelength) * (magnification(separation) - 1.0)

    def quiescent(self, wavelength: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        return self.star.flux(wavelength)


def draw_microlens(rng: np.random.Generator, scene: Scene) -> Microlens:
    """A single-lens event: Einstein times of about a month, impact parameters uniform below one."""
    return Microlens(
        star=Star(rng.uniform(17.5, scene.limit - 1.3), rng.uniform(3600.0, 6500.0)),
        peak_time=scene.draw_time(rng),
        einstein_time=float(np.clip(rng.lognormal(np.log(28.0), 0.6), 4.0, 200.0)),
        smallest_separation=rng.uniform(0.02, 1.0),
        blend=rng.uniform(0.3, 1.0),
    )
