"""Colours: how the bands of an object compare, at their peaks and at phases about its best-measured epoch."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from jaxtyping import Float64

from armillary.domains.transients.features.padded import Padded, mean_near

PHASES = (-10.0, 0.0, 15.0, 30.0, 45.0)  # days from the observation with the highest signal-to-noise ratio
HALF_WIDTH = 6.0  # days
SOFTENING = 2.0  # FLUXCAL; below it a flux is noise in deep surveys and asinh turns linear
FAINTEST = 0.1  # FLUXCAL; 30 mag, so that the logarithm of a negative peak exists


def log_peak(peak: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """log10 of a peak flux, floored at 30 mag; NaN stays."""
    return np.log10(np.maximum(peak, FAINTEST))


def colours(
    bands: Mapping[str, Padded], shapes: Mapping[str, Mapping[str, Float64[np.ndarray, " n"]]]
) -> dict[str, Float64[np.ndarray, " n"]]:
    """Differences between neighbouring bands: log peak flux, time of peak [d], and asinh flux at phases.

    One asinh flux a phase (the second band's, or the only one's) tells the level that the differences lose.
    """
    names = list(bands)
    epoch = _best_epoch(list(bands.values()))
    level = {name: np.arcsinh(mean_near(bands[name], epoch, PHASES, HALF_WIDTH) / SOFTENING) for name in names}
    found: dict[str, np.ndarray] = {}
    for blue, red in pairwise(names):
        found[f"{blue}-{red}_log_peak"] = log_peak(shapes[red]["peak_flux"]) - log_peak(shapes[blue]["peak_flux"])
        found[f"{blue}-{red}_peak_time"] = shapes[red]["peak_time"] - shapes[blue]["peak_time"]
        for place, phase in enumerate(PHASES):
            found[f"{blue}-{red}_at_{phase:+.0f}d"] = (level[red] - level[blue])[:, place]
    middle = names[min(1, len(names) - 1)]
    for place, phase in enumerate(PHASES):
        found[f"{middle}_level_at_{phase:+.0f}d"] = level[middle][:, place]
    return found


def _best_epoch(bands: list[Padded]) -> Float64[np.ndarray, " n"]:
    """Time of the observation with the highest signal-to-noise ratio in any band [d]; NaN without observations."""
    best_ratio = np.full(len(bands[0].mask), -np.inf)
    best_time = np.full(len(bands[0].mask), np.nan)
    for band in bands:
        ratio = np.where(band.mask, band.flux / np.where(band.mask, band.error, 1), -np.inf)
        place = ratio.argmax(1)
        better = ratio.max(1) > best_ratio
        best_time = np.where(better, band.at(place, band.time), best_time)
        best_ratio = np.maximum(best_ratio, ratio.max(1))
    return best_time
