"""Simulated objects as the SNANA text files of the Supernova Photometric Classification Challenge (SPCC)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from armillary.domains.transients.cosmology import distance_modulus
from armillary.domains.transients.simulation.files import write_gzip, write_tar
from armillary.domains.transients.simulation.source import flux_from_magnitude, magnitude_from_flux
from armillary.domains.transients.simulation.survey import SimulatedObject

SNTYPES = {"Ia": 1, "II": 2, "IIn": 21, "IIP": 22, "IIL": 23, "Ibc": 3, "Ib": 32, "Ic": 33}
_FOLDER = "SIMGEN_PUBLIC_DES"
_README = """ Simulated SN mix in the layout of the public DES sample.
 FLUXCAL = 10^[-0.4*mag + 11]

 Tags for GENTYPE & SNTYPE :
    1 : Ia
    2 : II
    3 : Ib/c
   21 : IIn
   22 : IIP
   23 : IIL
   32 : Ib
   33 : Ic
"""


def file_name(item: SimulatedObject) -> str:
    return f"DES_SN{_snid(item):06d}.DAT"


def write_spcc(
    spectroscopic: Sequence[SimulatedObject], photometric: Sequence[SimulatedObject], folder: Path, broken: int | None
) -> None:
    """Two archives, their lists, the table of labels and the release's note; file of object `broken` ends too early."""
    samples = (("spectro_train", "spectro", spectroscopic), ("photo_subset", "photo_subset", photometric))
    for archive, listing, items in samples:
        texts = {f"{_FOLDER}/{file_name(item)}": _text(item, archive == "spectro_train") for item in items}
        if broken is not None:
            texts = {name: text[: len(text) // 2] if f"{broken:06d}" in name else text for name, text in texts.items()}
        write_tar(folder / f"{archive}.tar.xz", texts)
        write_gzip(folder / f"{listing}.list", "".join(f"{file_name(item)}\n" for item in items))
    rows = [_label(item, "spectro") for item in spectroscopic] + [_label(item, "photo") for item in photometric]
    write_gzip(folder / "labels.csv.gz", pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"))
    write_gzip(folder / "SIMGEN_PUBLIC_DES.README", _README)


def _snid(item: SimulatedObject) -> int:
    return 100_000 + item.index


def _redshifts(item: SimulatedObject, spectroscopic: bool) -> tuple[float, float]:
    """REDSHIFT_FINAL and its error: spectroscopic where there is a spectrum, else of the host's photometry."""
    host = item.host
    return (host.spectroscopic, 0.005) if spectroscopic else (host.photometric, host.photometric_error)


def _text(item: SimulatedObject, spectroscopic: bool) -> str:
    host, place, snid = item.host, item.position, _snid(item)
    z, dz = _redshifts(item, spectroscopic)
    spec_z, spec_dz = (host.spectroscopic, 0.005) if spectroscopic else (-9.0, 9.0)
    peak = float(getattr(item.source, "peak_time", 0.0))
    lines = [
        "SURVEY: DES   ",
        f"SNID:   {snid}   ",
        "IAUC:    UNKNOWN ",
        "PHOTOMETRY_VERSION: DES ",
        f"SNTYPE:  {SNTYPES[item.label] if spectroscopic else -9} ",
        "FILTERS: griz ",
        f"RA:      {place.ra:.6f}  deg ",
        f"DECL:    {place.dec:.6f}  deg ",
        "MAGTYPE: LOG10  ",
        "MAGREF:  AB  ",
        "FAKE:    2   (=> simulated LC with snlc_sim.exe) ",
        f"MWEBV:   {place.mwebv:.4f}    MW E(B-V) ",
        f"REDSHIFT_HELIO:   {z:.5f} +- {dz:.5f}  (Helio, z_best) ",
        f"REDSHIFT_FINAL:   {z:.5f} +- {dz:.5f}  (CMB) ",
        f"REDSHIFT_SPEC:    {spec_z:.5f} +- {spec_dz:.5f}  ",
        "REDSHIFT_STATUS: OK ",
        " ",
        f"HOST_GALAXY_GALID:   {item.index + 10000} ",
        f"HOST_GALAXY_PHOTO-Z:   {host.photometric:.4f}  +- {host.photometric_error:.4f}  ",
        "",
        f"SIM_MODEL:  {_model(item)}  3  (name index) ",
        f"SIM_COMMENT:  SN Type = {item.label} , MODEL = armillary  ",
        f"SIM_REDSHIFT:  {item.source.redshift:.4f}  ",
        f"SIM_DLMU:      {distance_modulus(item.source.redshift):.6f}  mag   [ -5*log10(10pc/dL) ]  ",
        f"SIM_PEAKMJD:   {peak:.6f}  days ",
        "",
        f"SEARCH_PEAKMJD:   {peak:.3f}  ",
        "",
        "# ============================================ ",
        "# TERSE LIGHT CURVE OUTPUT: ",
        "#",
    ]
    return "\n".join(lines + _observations(item)) + "\n"


def _observations(item: SimulatedObject) -> list[str]:
    curve = item.measured
    # A flux below one electron's worth has no magnitude; SNANA writes 99 with an error of 5.
    seen = curve.flux > 0.5 * curve.flux_error
    magnitude = np.where(seen, magnitude_from_flux(np.where(seen, curve.flux, 1.0)), 99.0)
    error = np.where(seen, np.minimum(1.0857 * curve.flux_error / np.where(seen, curve.flux, 1.0), 5.0), 5.0)
    faintest = flux_from_magnitude(32.0)
    truth = np.where(curve.true_flux > faintest, magnitude_from_flux(np.maximum(curve.true_flux, faintest)), 99.0)
    header = [
        f"NOBS: {len(curve.time)} ",
        "NVAR: 9 ",
        "VARLIST:  MJD  FLT FIELD   FLUXCAL   FLUXCALERR   SNR    MAG     MAGERR  SIM_MAG",
    ]
    rows = [
        f"OBS:  {curve.time[i]:.3f}  {'griz'[curve.band[i]]} NULL  {curve.flux[i]:10.3e}  {curve.flux_error[i]:10.3e}"
        f"  {curve.flux[i] / curve.flux_error[i]:.2f}  {magnitude[i]:.3f}  {error[i]:.3f}  {truth[i]:.3f}"
        for i in range(len(curve.time))
    ]
    return [*header, *rows, "END: "]


def _model(item: SimulatedObject) -> str:
    return "SALT2" if item.label == "Ia" else "NONIA"


def _label(item: SimulatedObject, sample: str) -> dict[str, object]:
    spectroscopic = sample == "spectro"
    z, dz = _redshifts(item, spectroscopic)
    return {
        "file": file_name(item),
        "snid": _snid(item),
        "sntype": SNTYPES[item.label] if spectroscopic else -9,
        "true_type": item.label,
        "sim_model": _model(item),
        "z_final": round(z, 5),
        "z_final_err": round(dz, 5),
        "z_spec": round(item.host.spectroscopic, 5) if spectroscopic else -9.0,
        "z_sim": round(item.source.redshift, 4),
        "host_photoz": round(item.host.photometric, 4),
        "peakmjd": round(float(getattr(item.source, "peak_time", 0.0)), 6),
        "mwebv": round(item.position.mwebv, 4),
        "nobs": len(item.measured.time),
        "sample": sample,
    }
