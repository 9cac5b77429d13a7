"""Corrections of flux on request: Galactic extinction and zero point. Each is recorded, so that none is made twice."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float, Float64

from armillary.core.errors import DataError
from armillary.domains.transients.lightcurves import LightCurves

R_V = 3.1  # the Galaxy's mean A_V / E(B-V)
LAW = "O'Donnell 1994, R_V 3.1"


def extinction_coefficient(wavelength: Float[np.ndarray, " b"]) -> Float64[np.ndarray, " b"]:
    """A(lambda) / E(B-V) = R_V A(lambda) / A(V), by dust_extinction's O94.

    wavelength [Angstrom], within 1000 .. 33333. The band is taken at one wavelength, which for broad bands and
    common spectra differs from an integral over the band by a few per cent.

    References:
        O'Donnell 1994, ApJ 422, 158.
    """
    # astropy.units takes a third of a second to import, which readers of files should not pay.
    import astropy.units as u
    from dust_extinction.parameter_averages import O94

    found = O94(Rv=R_V)(np.asarray(wavelength, np.float64) * u.Angstrom)
    return R_V * np.asarray(found, np.float64)


def deredden(curves: LightCurves) -> LightCurves:
    """Fluxes and errors as they would be without the Galaxy's dust: times 10^(0.4 A), A = coefficient * E(B-V).

    Objects of unknown E(B-V) stay as they are. The law and the fact are recorded in attrs; a second call is refused.
    """
    if curves.attrs.get("extinction_corrected") == "yes":
        raise DataError(
            "these light curves are already corrected for Galactic extinction",
            advice="Leave out one of the two corrections (data.deredden, or a call of deredden).",
        )
    absorption = np.repeat(np.nan_to_num(curves.mwebv.astype(np.float64)), curves.row_size)
    absorption *= extinction_coefficient(curves.wavelength)[curves.band_index]
    attrs = {**curves.attrs, "extinction_corrected": "yes", "extinction_law": LAW}
    return _scaled(curves, 10.0 ** (0.4 * absorption), attrs)


def to_zero_point(curves: LightCurves, zero_point: float) -> LightCurves:
    """Fluxes in units whose zero point is `zero_point` [mag AB]: times 10^(0.4 (new - old)), recorded in attrs."""
    shift = zero_point - float(curves.attrs["zero_point"])
    scale = np.full(len(curves.flux), 10.0 ** (0.4 * shift))
    return _scaled(curves, scale, {**curves.attrs, "zero_point": float(zero_point)})


def _scaled(curves: LightCurves, scale: Float64[np.ndarray, " rows"], attrs: Mapping[str, Any]) -> LightCurves:
    flux, flux_error = (curves.flux * scale).astype(np.float32), (curves.flux_error * scale).astype(np.float32)
    return replace(curves, flux=flux, flux_error=flux_error, attrs=attrs)
