"""Simulated objects as files of the ZTF Bright Transient Survey: a table of detections an object, a table of labels."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from armillary.domains.transients.cosmology import distance_modulus
from armillary.domains.transients.extinction import R_V
from armillary.domains.transients.simulation.files import write_gzip, write_tar
from armillary.domains.transients.simulation.observe import Measured
from armillary.domains.transients.simulation.source import magnitude_from_flux
from armillary.domains.transients.simulation.survey import SimulatedObject

_JD_ZERO = 57999.5  # MJD of JD 2458000
_PASSBANDS = np.array(["g", "R"])


def ztf_name(index: int) -> str:
    """Seven letters count the objects, as in ZTF18aaaaaaa."""
    letters = ""
    for _ in range(7):
        index, letter = divmod(index, 26)
        letters = chr(ord("a") + letter) + letters
    return f"ZTF18{letters}"


def write_bts(items: Sequence[SimulatedObject], folder: Path, broken: int | None = None) -> None:
    """ANTARES_lightcurves.tar.gz and ZTF_BTS_labels.csv; object `broken` loses the column of errors."""
    members: dict[str, str] = {}
    for item in items:
        table = _detections(item.measured)
        if item.index == broken:
            table = table.drop(columns="ant_magerr")
        members[f"ANTARES/{ztf_name(item.index)}.csv"] = table.to_csv(lineterminator="\n")
    write_tar(folder / "ANTARES_lightcurves.tar.gz", members)
    labels = pd.DataFrame([_label(item) for item in items])
    labels["RA"], labels["Dec"] = _sexagesimal(items)
    write_gzip(folder / "ZTF_BTS_labels.csv", labels.to_csv(index=False, lineterminator="\n"))


def _seen(curve: Measured) -> np.ndarray:
    return curve.detected & (curve.flux > 0)


def _detections(curve: Measured) -> pd.DataFrame:
    """Rows of the positive detections, indexed by their place among all visits: m, and dm = 2.5 / ln 10 dF / F."""
    seen = _seen(curve)
    flux, error = curve.flux[seen], curve.flux_error[seen]
    return pd.DataFrame(
        {
            "ant_mjd": curve.time[seen].round(6),
            "ant_passband": _PASSBANDS[curve.band[seen]],
            "ant_mag": magnitude_from_flux(flux).round(4),
            "ant_magerr": (2.5 / np.log(10.0) * error / flux).round(4),
        },
        index=np.flatnonzero(seen),
    )


def _label(item: SimulatedObject) -> dict[str, object]:
    seen = _seen(item.measured)
    time, flux = item.measured.time[seen], item.measured.flux[seen]
    top = int(np.argmax(flux))
    magnitude = float(magnitude_from_flux(flux[top : top + 1])[0])
    rise, rise_bound = _half_flux_time(time[: top + 1][::-1], flux[: top + 1][::-1])
    fade, fade_bound = _half_flux_time(time[top:], flux[top:])
    z = item.host.spectroscopic
    return {
        "ZTFID": ztf_name(item.index),
        "IAUID": f"SN2018{ztf_name(item.index)[-4:]}",
        "RA": "",
        "Dec": "",
        "peakt": round(float(time[top]) - _JD_ZERO, 2),
        "peakfilt": "gr"[item.measured.band[seen][top]],
        "peakmag": round(magnitude, 4),
        "peakabs": round(magnitude - distance_modulus(z), 2),
        "duration": f"{'>' if rise_bound or fade_bound else ''}{rise + fade:.3f}",
        "rise": f"{'>' if rise_bound else ''}{rise:.3f}",
        "fade": f"{'>' if fade_bound else ''}{fade:.3f}",
        "type": item.label,
        "redshift": round(z, 5),
        "b": round(item.position.latitude, 8),
        "A_V": round(R_V * item.position.mwebv, 3),
    }


def _half_flux_time(time: Float[np.ndarray, " n"], flux: Float[np.ndarray, " n"]) -> tuple[float, bool]:
    """Days from the first (peak) point to the first below half its flux; True when it never gets there: a bound."""
    below = np.flatnonzero(flux < 0.5 * flux[0])
    last = int(below[0]) if len(below) else len(time) - 1
    return abs(float(time[last] - time[0])), not len(below)


def _sexagesimal(items: Sequence[SimulatedObject]) -> tuple[list[str], list[str]]:
    from astropy.coordinates import Angle

    ra = Angle([item.position.ra for item in items], unit="deg").to_string(
        unit="hourangle", sep=":", precision=2, pad=True
    )
    dec = Angle([item.position.dec for item in items], unit="deg").to_string(
        unit="deg", sep=":", precision=1, pad=True, alwayssign=True
    )
    return list(ra), list(dec)
