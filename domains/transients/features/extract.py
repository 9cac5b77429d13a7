"""All features of many light curves as one table."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from armillary.domains.transients.features.colour import colours, log_peak
from armillary.domains.transients.features.padded import first_detection, pad_band
from armillary.domains.transients.features.redshift import Mode, redshift_features
from armillary.domains.transients.features.shape import band_shape
from armillary.domains.transients.features.statistics import band_statistics
from armillary.domains.transients.lightcurves import LightCurves

CHUNK = 2048  # objects padded together, which bounds memory


@dataclass(frozen=True)
class FeatureTable:
    """Features by name; NaN where a light curve does not have one."""

    names: tuple[str, ...]
    values: Float32[np.ndarray, "n f"]


def extract_features(curves: LightCurves, bands: Sequence[str], redshift: Mode, jobs: int = 1) -> FeatureTable:
    """Statistics and shape of every band, colours, counts, and what the redshift allows.

    bands: names in the order of the columns; one that the light curves lack gives NaN.
    jobs: threads for the statistics, -1 for one a core.
    """
    parts = [
        _chunk(curves.select(np.arange(start, min(start + CHUNK, len(curves)))), bands, redshift, jobs)
        for start in range(0, max(1, len(curves)), CHUNK)
    ]
    names = parts[0].names
    return FeatureTable(names, np.concatenate([part.values for part in parts]))


def _chunk(curves: LightCurves, bands: Sequence[str], redshift: Mode, jobs: int) -> FeatureTable:
    padded = {band: pad_band(curves, band) for band in bands}
    first = first_detection(curves)
    shapes = {band: band_shape(padded[band], first) for band in bands}
    found: dict[str, np.ndarray] = {}
    for band in bands:
        found |= {f"{band}_{name}": column for name, column in band_statistics(padded[band], jobs).items()}
        found |= {f"{band}_{name}": column for name, column in shapes[band].items()}
        found[f"{band}_log_peak"] = log_peak(shapes[band]["peak_flux"])
    found |= colours(padded, shapes)
    found |= _whole(curves, first)
    found |= redshift_features(curves, shapes, redshift)
    return FeatureTable(tuple(found), np.stack(list(found.values()), 1).astype(np.float32))


def _whole(curves: LightCurves, first: np.ndarray) -> dict[str, np.ndarray]:
    """What belongs to the object as a whole: counts, span [d], best signal-to-noise ratio, Galactic reddening [mag]."""
    owner = np.repeat(np.arange(len(curves)), curves.row_size)
    last, ratio = np.full(len(curves), -np.inf), np.full(len(curves), -np.inf)
    np.maximum.at(last, owner, curves.time)
    np.maximum.at(ratio, owner, curves.flux / curves.flux_error)
    filled = curves.row_size > 0
    return {
        "observations": curves.row_size.astype(np.float64),
        "detections": np.bincount(owner, curves.detected, len(curves)),
        "span": np.where(filled, last - first, np.nan),
        "best_snr": np.where(filled, ratio, np.nan),
        "mwebv": curves.mwebv.astype(np.float64),
    }
