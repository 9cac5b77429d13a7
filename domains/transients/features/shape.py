"""Peak, width and shape around the peak of each band's light curve."""

import numpy as np
from jaxtyping import Float64

from armillary.domains.transients.features.padded import Padded, mean_near

PHASES = (-15.0, -7.0, 7.0, 15.0, 30.0, 50.0)  # days from the band's peak
HALF_WIDTH = 5.0  # days


def band_shape(band: Padded, first: Float64[np.ndarray, " n"]) -> dict[str, Float64[np.ndarray, " n"]]:
    """Peak flux, when it is, how long the band stays over half of it, and the flux at phases as a fraction of it.

    The peak is the observation with the largest flux less its error, which a noisy point does not win easily.
    Times are in days; `peak_time` counts from `first`, the object's first detection.
    """
    peak_place = np.where(band.mask, band.flux - band.error, -np.inf).argmax(1)
    peak, peak_time = band.at(peak_place, band.flux), band.at(peak_place, band.time)
    start, end = _span(band, band.flux >= np.minimum(peak / 2, peak)[:, None])
    first_seen, last_seen = _span(band, band.detected)
    phases = mean_near(band, peak_time, PHASES, HALF_WIDTH) / np.where(peak == 0, np.nan, peak)[:, None]
    return {
        "peak_flux": peak,
        "peak_snr": peak / band.at(peak_place, np.where(band.mask, band.error, 1.0)),
        "peak_time": peak_time - first,
        "detections": band.detected.sum(1).astype(np.float64),
        "detected_span": np.nan_to_num(last_seen - first_seen),
        "half_peak_span": end - start,
        "half_peak_rise": peak_time - start,
        "half_peak_fall": end - peak_time,
        **{f"flux_at_{phase:+.0f}d": phases[:, place] for place, phase in enumerate(PHASES)},
    }


def _span(band: Padded, chosen: np.ndarray) -> tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, " n"]]:
    """First and last time of the chosen observations [d]; NaN where there are none."""
    rows = chosen & band.mask
    start, end = np.where(rows, band.time, np.inf).min(1), np.where(rows, band.time, -np.inf).max(1)
    return np.where(rows.any(1), start, np.nan), np.where(rows.any(1), end, np.nan)
