"""Simulated objects as PLAsTiCC tables, in the layout of the Kaggle challenge and in that of the Zenodo release."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from armillary.domains.transients.cosmology import distance_modulus
from armillary.domains.transients.simulation.files import write_gzip
from armillary.domains.transients.simulation.survey import SimulatedObject

FIRST_ID = 1000  # object i of the simulation is called FIRST_ID + i
_BROKEN_PASSBAND = 9  # there are six


def object_id(item: SimulatedObject) -> int:
    return FIRST_ID + item.index


def write_kaggle(
    items: Sequence[SimulatedObject], light_curves: Path, metadata: Path, broken: int | None = None
) -> None:
    """training_set.csv and training_set_metadata.csv; object `broken` gets a passband that does not exist."""
    write_gzip(light_curves, _light_curves(items, "detected", broken).to_csv(index=False, lineterminator="\n"))
    longitude, latitude = _galactic(items)
    hosts = [item.host for item in items]
    table = pd.DataFrame(
        {
            "object_id": [object_id(item) for item in items],
            "ra": [round(item.position.ra, 6) for item in items],
            "decl": [round(item.position.dec, 6) for item in items],
            "gal_l": longitude.round(6),
            "gal_b": latitude.round(6),
            "ddf": [int(item.deep) for item in items],
            "hostgal_specz": [round(host.spectroscopic, 4) for host in hosts],
            "hostgal_photoz": [round(host.photometric, 4) for host in hosts],
            "hostgal_photoz_err": [round(host.photometric_error, 4) for host in hosts],
            "distmod": [_modulus(host.photometric) for host in hosts],
            "mwebv": [round(item.position.mwebv, 3) for item in items],
            "target": [int(item.label) for item in items],
        }
    )
    write_gzip(metadata, table.to_csv(index=False, na_rep="nan", lineterminator="\n"))


def write_zenodo(
    items: Sequence[SimulatedObject], light_curves: Path, metadata: Path, relative_time: bool = False
) -> None:
    """Light curves with `detected_bool`, and un-blinded metadata: space-padded, -9 for unknown, with true_* columns.

    relative_time: `mjd` counts days from the object's first observation.
    """
    table = _light_curves(items, "detected_bool", None)
    if relative_time:
        table["mjd"] = (table["mjd"] - table.groupby("object_id")["mjd"].transform("min")).round(4)
    write_gzip(light_curves, table.to_csv(index=False, lineterminator="\n"))
    write_zenodo_metadata(items, metadata)


def write_zenodo_metadata(items: Sequence[SimulatedObject], path: Path) -> None:
    """The un-blinded metadata alone."""
    rows = [_zenodo_row(item) for item in items]
    lines = [",".join(rows[0])] + [", ".join(row.values()) for row in rows]
    write_gzip(path, "\n".join(lines) + "\n")


def _light_curves(items: Sequence[SimulatedObject], detected: str, broken: int | None) -> pd.DataFrame:
    curves = [item.measured for item in items]
    identifier = np.repeat([object_id(item) for item in items], [len(curve.time) for curve in curves])
    passband = np.concatenate([curve.band for curve in curves])
    if broken is not None:
        passband[np.flatnonzero(identifier == broken)[1]] = _BROKEN_PASSBAND
    return pd.DataFrame(
        {
            "object_id": identifier,
            "mjd": np.concatenate([curve.time for curve in curves]).round(4),
            "passband": passband,
            "flux": np.concatenate([curve.flux for curve in curves]).round(6),
            "flux_err": np.concatenate([curve.flux_error for curve in curves]).round(6),
            detected: np.concatenate([curve.detected for curve in curves]).astype(np.int64),
        }
    )


def _galactic(items: Sequence[SimulatedObject]) -> tuple[np.ndarray, np.ndarray]:
    from astropy.coordinates import SkyCoord

    ra = [item.position.ra for item in items]
    galactic = cast(Any, SkyCoord(ra, [item.position.dec for item in items], unit="deg", frame="icrs")).galactic
    return np.asarray(galactic.l.deg), np.asarray(galactic.b.deg)


def _modulus(redshift: float) -> float:
    return round(distance_modulus(redshift), 4) if redshift > 0 else np.nan


def _zenodo_row(item: SimulatedObject) -> dict[str, str]:
    host, z = item.host, item.source.redshift
    modulus = f"{distance_modulus(host.photometric):.3f}" if z > 0 else "-9.000"
    peak = float(getattr(item.source, "peak_time", item.measured.time[0]))
    # As in the test set, most hosts have no spectrum: here those outside the deep fields.
    spectroscopic = host.spectroscopic if item.deep or z == 0 else -9.0
    row = {
        "object_id": f"{object_id(item):10d}",
        "ra": f"{item.position.ra:9.4f}",
        "decl": f"{item.position.dec:9.4f}",
        "ddf_bool": f"{int(item.deep)}",
        "hostgal_specz": f"{spectroscopic:6.3f}",
        "hostgal_photoz": f"{host.photometric:6.3f}",
        "hostgal_photoz_err": f"{host.photometric_error:6.3f}",
        "distmod": modulus,
        "mwebv": f"{item.position.mwebv:6.3f}",
        "target": item.label,
        "true_target": item.label,
        "true_submodel": "1",
        "true_z": f"{z:6.3f}",
        "true_distmod": f"{distance_modulus(z):.3f}" if z > 0 else "0.000",
        "true_lensdmu": "0.000",
        "true_vpec": "0.0",
        "true_rv": "3.10" if z > 0 else "0.00",
        "true_av": f"{float(getattr(item.source, 'host_a_v', 0.0)):.3f}",
        "true_peakmjd": f"{peak:9.3f}",
        "libid_cadence": f"{item.index % 100:6d}",
    }
    totals = item.source.quiescent(np.array([3685.0, 4802.0, 6231.0, 7542.0, 8690.0, 9736.0]))
    return row | {f"tflux_{band}": f"{total:9.1f}" for band, total in zip("ugrizy", totals, strict=True)}
