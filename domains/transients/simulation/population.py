"""How far away and when: what the models of explosions share when they draw their parameters."""

from dataclasses import dataclass

import numpy as np

from armillary.domains.transients.cosmology import redshift_at_modulus, redshift_in_volume


@dataclass(frozen=True)
class Scene:
    """What a survey can see: first and last night (MJD) [d], and the faintest peak worth drawing [mag]."""

    start: float
    end: float
    limit: float

    def draw_time(self, rng: np.random.Generator) -> float:
        """A peak time (MJD) [d], uniform over the survey."""
        return float(rng.uniform(self.start, self.end))

    def draw_redshift(self, rng: np.random.Generator, brightest: float, highest: float = 3.0) -> float:
        """Uniform in comoving volume, out to where an object of absolute magnitude `brightest` is at the limit."""
        furthest = min(redshift_at_modulus(self.limit - brightest), highest)
        return max(redshift_in_volume(float(rng.uniform()), furthest), 0.003)
