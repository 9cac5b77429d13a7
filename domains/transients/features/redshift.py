"""Features that a redshift makes possible: absolute magnitudes and rest-frame durations."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from jaxtyping import Float64

from armillary.domains.transients.cosmology import log_luminosity_distance
from armillary.domains.transients.features.colour import log_peak
from armillary.domains.transients.lightcurves import ZERO_POINT, LightCurves

Mode = Literal["none", "photometric", "spectroscopic"]
DURATIONS = ("detected_span", "half_peak_span", "half_peak_rise", "half_peak_fall")


def redshift_features(
    curves: LightCurves, shapes: Mapping[str, Mapping[str, Float64[np.ndarray, " n"]]], mode: Mode
) -> dict[str, Float64[np.ndarray, " n"]]:
    """The redshift, its error, and per band the peak's absolute magnitude [mag] and durations [d] in the rest frame.

    Absolute magnitudes have no K correction; a redshift that is unknown, zero or negative gives NaN.
    """
    if mode == "none":
        return {}
    chosen = curves.redshift if mode == "photometric" else curves.redshift_spec
    redshift = chosen.astype(np.float64)
    found = {"redshift": redshift}
    if mode == "photometric":
        found["redshift_error"] = curves.redshift_error.astype(np.float64)
    distant = np.where(redshift > 0, redshift, np.nan)
    modulus = _distance_modulus(distant)
    for band, shape in shapes.items():
        found[f"{band}_absolute_peak"] = ZERO_POINT - 2.5 * log_peak(shape["peak_flux"]) - modulus
        for name in DURATIONS:
            found[f"{band}_{name}_rest"] = shape[name] / (1 + distant)
    return found


def _distance_modulus(redshift: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """Distance modulus [mag], NaN where the redshift is."""
    log_mpc = log_luminosity_distance(np.nan_to_num(redshift, nan=1.0))
    return np.where(np.isnan(redshift), np.nan, 5 / np.log(10) * log_mpc + 25)
