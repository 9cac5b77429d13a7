"""Luminosity and comoving distances from one table of astropy's flat Lambda-CDM (H0 70 km/s/Mpc, Omega_m 0.3)."""

from functools import cache
from typing import Any, cast

import numpy as np
from jaxtyping import Float

REDSHIFT_MAX = 10.0
_REDSHIFT_MIN = 1e-4


@cache
def _table() -> tuple[np.ndarray, np.ndarray]:
    """ln(1+z) on a fine grid and ln of the comoving distance [Mpc] there."""
    # astropy.cosmology takes half a second to import, which readers of files should not pay.
    from astropy.cosmology import FlatLambdaCDM

    redshift = np.geomspace(_REDSHIFT_MIN, REDSHIFT_MAX, 2000)
    cosmology = cast(Any, FlatLambdaCDM)(H0=70.0, Om0=0.3)  # astropy does not type its parameters
    distance = cosmology.comoving_distance(redshift).to_value("Mpc")
    return np.log1p(redshift), np.log(distance)


def log_comoving_distance(redshift: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """ln(D_C / Mpc); redshifts outside 0.0001 to 10 count as the nearest bound."""
    grid, log_distance = _table()
    return np.asarray(np.interp(np.log1p(redshift), grid, log_distance), np.float64)


def log_luminosity_distance(redshift: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """ln(D_L / Mpc) with D_L = (1+z) D_C."""
    return np.asarray(np.log1p(redshift) + log_comoving_distance(redshift), np.float64)


def distance_modulus(redshift: float) -> float:
    """m - M = 5 log10(D_L / 10 pc) [mag]."""
    log_mpc = float(log_luminosity_distance(np.array(redshift, np.float64)))
    return 5.0 * log_mpc / np.log(10.0) + 25.0


def redshift_at_modulus(modulus: float) -> float:
    """The redshift at which the distance modulus [mag] is reached, at most 10."""
    grid, log_distance = _table()
    return float(np.expm1(np.interp((modulus - 25.0) * np.log(10.0) / 5.0, grid + log_distance, grid)))


def redshift_in_volume(fraction: float, redshift_max: float) -> float:
    """The redshift inside which lies `fraction` of the comoving volume out to `redshift_max`: D_C = f^(1/3) D_C,max."""
    grid, log_distance = _table()
    limit = float(log_comoving_distance(np.array(redshift_max, np.float64)))
    return float(np.expm1(np.interp(limit + np.log(max(fraction, 1e-12)) / 3.0, log_distance, grid)))
