"""One band of many light curves as a padded matrix, so that features are array formulas without loops."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from armillary.domains.transients.lightcurves import LightCurves


@dataclass(frozen=True)
class Padded:
    """Observations of n objects in one band, padded to l; `mask` is True where there is one.

    time [d], flux and error [FLUXCAL], all zero where masked out.
    """

    time: Float64[np.ndarray, "n l"]
    flux: Float64[np.ndarray, "n l"]
    error: Float64[np.ndarray, "n l"]
    detected: Bool[np.ndarray, "n l"]
    mask: Bool[np.ndarray, "n l"]

    def at(self, place: Int64[np.ndarray, " n"], values: Float64[np.ndarray, "n l"]) -> Float64[np.ndarray, " n"]:
        """The value of each object at its own place, NaN for an object without observations."""
        return np.where(self.mask.any(1), np.take_along_axis(values, place[:, None], 1)[:, 0], np.nan)


def pad_band(curves: LightCurves, band: str) -> Padded:
    """The observations in `band`, in time order; an object without any has an empty row (l is at least 1)."""
    wanted = curves.band.index(band) if band in curves.band else -1
    rows = np.flatnonzero(curves.band_index == wanted)
    owner = np.repeat(np.arange(len(curves)), curves.row_size)[rows]
    sizes = np.bincount(owner, minlength=len(curves))
    place = np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    shape = (len(curves), max(1, int(sizes.max(initial=0))))

    def spread(values: np.ndarray, kind: type) -> np.ndarray:
        padded = np.zeros(shape, kind)
        padded[owner, place] = values[rows]
        return padded

    return Padded(
        time=spread(curves.time, np.float64),
        flux=spread(curves.flux, np.float64),
        error=spread(curves.flux_error, np.float64),
        detected=spread(curves.detected, np.bool_),
        mask=spread(np.ones(len(curves.time), np.bool_), np.bool_),
    )


def first_detection(curves: LightCurves) -> Float64[np.ndarray, " n"]:
    """Time of each object's first detection [d]; of its first observation where nothing is detected, NaN if empty."""
    times = np.full(len(curves), np.nan)
    owner = np.repeat(np.arange(len(curves)), curves.row_size)
    filled = curves.row_size > 0
    times[filled] = curves.time[curves.offsets[:-1][filled]]
    # Rows are in time order: written backwards, the first detection is what stays.
    rows = np.flatnonzero(curves.detected)[::-1]
    times[owner[rows]] = curves.time[rows]
    return times


def mean_near(
    band: Padded, centre: Float64[np.ndarray, " n"], phases: tuple[float, ...], half_width: float
) -> Float[np.ndarray, "n p"]:
    """Error-weighted mean flux within half_width [d] of centre + phase [d]; NaN where nothing was observed."""
    weight = np.where(band.mask, 1 / np.where(band.mask, band.error, 1) ** 2, 0)
    means = []
    for phase in phases:
        near = weight * (np.abs(band.time - (centre + phase)[:, None]) < half_width)
        total = near.sum(1)
        means.append(np.where(total > 0, (near * band.flux).sum(1) / np.where(total > 0, total, 1), np.nan))
    return np.stack(means, 1)
