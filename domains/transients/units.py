"""Magnitudes, fluxes and dates: conversions at the door of the domain."""

import numpy as np
from astropy.time import Time
from jaxtyping import Float, Float64

from armillary.domains.transients.lightcurves import ZERO_POINT

LN10_OVER_2P5 = 0.4 * np.log(10.0)


def flux_from_magnitude(
    magnitude: Float[np.ndarray, " n"], error: Float[np.ndarray, " n"], zero_point: float = ZERO_POINT
) -> tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, " n"]]:
    """flux = 10^(-0.4 (m - zp)) and its error flux * 0.4 ln 10 * sigma_m, to first order.

    Magnitudes are AB [mag]; with the default zero point the flux is in FLUXCAL. NaN and infinity pass through.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        flux = 10.0 ** (-0.4 * (np.asarray(magnitude, np.float64) - zero_point))
        return flux, flux * LN10_OVER_2P5 * np.asarray(error, np.float64)


def magnitude_from_flux(
    flux: Float[np.ndarray, " n"], error: Float[np.ndarray, " n"], zero_point: float = ZERO_POINT
) -> tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, " n"]]:
    """m = zp - 2.5 log10(flux) and its error, to first order [mag]; NaN where the flux is not positive."""
    positive = np.where(np.asarray(flux) > 0, flux, np.nan).astype(np.float64)
    return zero_point - 2.5 * np.log10(positive), np.asarray(error, np.float64) / positive / LN10_OVER_2P5


def mjd_from_jd(julian_date: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """Modified Julian date of a Julian date [d], through astropy's two-part times.

    The difference is the same on every time scale; naming TAI keeps leap-second tables out of it.
    """
    finite = np.isfinite(julian_date)
    times = Time(np.where(finite, julian_date, 2_400_000.5), format="jd", scale="tai")
    return np.where(finite, np.asarray(times.mjd, np.float64), np.nan)
