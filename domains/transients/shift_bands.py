"""The flux that each observation would have in a redshifted band, interpolated between the object's own bands."""

import numpy as np
from jaxtyping import Bool, Float, Float64, Int

MAX_GAP = 15.0  # [d]: no colour is taken from a band that was not observed within so many days


def interpolate_bands(
    time: Float[np.ndarray, "b l"],
    flux: Float[np.ndarray, "b l"],
    error: Float[np.ndarray, "b l"],
    band: Int[np.ndarray, "b l"],
    mask: Bool[np.ndarray, "b l"],
    wavelength: Float64[np.ndarray, " bands"],
    ratio: Float64[np.ndarray, " b"],
) -> tuple[Float[np.ndarray, "b l"], Float[np.ndarray, "b l"]]:
    """Flux and error at wavelength / ratio instead of wavelength, ratio = (1+z') / (1+z), one number an object.

    Linear in time within each band, then linear in wavelength between the bands on both sides; beyond the bluest and
    the reddest band, that band's flux. Linear in flux rather than in its logarithm, as noise makes fluxes negative.
    An observation without a neighbouring band within 15 days keeps its own flux. Objects with ratio 1 stay.
    """
    flux, error = flux.copy(), error.copy()
    for i in np.flatnonzero(ratio != 1):
        rows = np.flatnonzero(mask[i])
        flux[i, rows], error[i, rows] = _one(
            time[i, rows], flux[i, rows], error[i, rows], band[i, rows], wavelength, float(ratio[i])
        )
    return flux, error


def _one(
    time: Float[np.ndarray, " l"],
    flux: Float[np.ndarray, " l"],
    error: Float[np.ndarray, " l"],
    band: Int[np.ndarray, " l"],
    wavelength: Float64[np.ndarray, " bands"],
    ratio: float,
) -> tuple[Float[np.ndarray, " l"], Float[np.ndarray, " l"]]:
    places = np.unique(band)
    places = places[np.argsort(wavelength[places])]
    if len(places) < 2:
        return flux, error
    grid, columns = wavelength[places], np.arange(len(time))
    fluxes, errors, gaps = _on_all_times(time, flux, error, band, places)
    target = np.clip(wavelength[band] / ratio, grid[0], grid[-1])
    low = np.clip(np.searchsorted(grid, target, side="right") - 1, 0, len(grid) - 2)
    weight = (target - grid[low]) / (grid[low + 1] - grid[low])
    mixed = (1 - weight) * fluxes[low, columns] + weight * fluxes[low + 1, columns]
    spread = np.hypot((1 - weight) * errors[low, columns], weight * errors[low + 1, columns])
    # A band of weight 0 needs no observation nearby.
    gap = np.maximum(np.where(weight < 1, gaps[low, columns], 0.0), np.where(weight > 0, gaps[low + 1, columns], 0.0))
    near = gap <= MAX_GAP
    return np.where(near, mixed, flux).astype(flux.dtype), np.where(near, spread, error).astype(error.dtype)


def _on_all_times(
    time: Float[np.ndarray, " l"],
    flux: Float[np.ndarray, " l"],
    error: Float[np.ndarray, " l"],
    band: Int[np.ndarray, " l"],
    places: Int[np.ndarray, " k"],
) -> tuple[Float64[np.ndarray, "k l"], Float64[np.ndarray, "k l"], Float64[np.ndarray, "k l"]]:
    """Each band's flux and error at every time of the object, and the days to the band's nearest observation."""
    shape = (len(places), len(time))
    fluxes, errors, gaps = np.empty(shape), np.empty(shape), np.empty(shape)
    for row, place in enumerate(places):
        own = band == place
        at = time[own]
        fluxes[row], errors[row] = np.interp(time, at, flux[own]), np.interp(time, at, error[own])
        after = np.searchsorted(at, time).clip(max=len(at) - 1)
        gaps[row] = np.minimum(np.abs(at[after] - time), np.abs(at[np.maximum(after - 1, 0)] - time))
    return fluxes, errors, gaps
