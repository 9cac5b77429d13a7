"""Statistics of each band's light curve by the light-curve package (Malanchev et al. 2021, MNRAS 502, 5147)."""

from typing import Any

import light_curve
import numpy as np
from jaxtyping import Float64

from armillary.domains.transients.features.padded import Padded

# The largest minimum of the features below; shorter light curves have NaN throughout.
MINIMUM = 5


def extractor() -> Any:
    """The statistics taken of one band; each is explained in the light-curve package."""
    # Any: the package's own type stubs do not know its compiled classes.
    compiled: Any = light_curve
    return compiled.Extractor(
        compiled.Amplitude(),
        compiled.BeyondNStd(1.0),
        compiled.Kurtosis(),
        compiled.Skew(),
        compiled.LinearTrend(),
        compiled.LinearFit(),
        compiled.MaximumSlope(),
        compiled.Mean(),
        compiled.WeightedMean(),
        compiled.Median(),
        compiled.StandardDeviation(),
        compiled.InterPercentileRange(0.25),
        compiled.MedianAbsoluteDeviation(),
        compiled.PercentAmplitude(),
        compiled.StetsonK(),
        compiled.ReducedChi2(),
        compiled.ExcessVariance(),
        compiled.EtaE(),
    )


def band_statistics(band: Padded, jobs: int) -> dict[str, Float64[np.ndarray, " n"]]:
    """light-curve's features of every object in one band; NaN for fewer than MINIMUM observations."""
    extract = extractor()
    values = np.full((len(band.mask), len(extract.names)), np.nan)
    long_enough = np.flatnonzero(band.mask.sum(1) >= MINIMUM)
    if len(long_enough):
        parts = [_one(band, index) for index in long_enough.tolist()]
        values[long_enough] = extract.many(parts, fill_value=np.nan, sorted=True, check=False, n_jobs=jobs)
    values[~np.isfinite(values)] = np.nan
    return dict(zip(extract.names, values.T, strict=True))


def _one(band: Padded, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows = band.mask[index]
    # Slopes divide by time differences, and surveys repeat epochs.
    time = band.time[index, rows] + 1e-6 * np.arange(rows.sum())
    return time, band.flux[index, rows], band.error[index, rows]
