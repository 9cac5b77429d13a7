"""Fabricated survey files: small, from a seed, with the real files' headers and units."""

import io
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import pytest
import xarray as xr
from astropy.io import fits

from armillary.core.domain import ReadOptions
from armillary.core.errors import DataError
from armillary.domains.transients.lightcurves import LightCurves, check_chunk
from armillary.domains.transients.read import read

KAGGLE = "object_id,mjd,passband,flux,flux_err,detected"
ZENODO = "object_id,mjd,passband,flux,flux_err,detected_bool"
KAGGLE_METADATA = (
    "object_id,ra,decl,gal_l,gal_b,ddf,hostgal_specz,hostgal_photoz,hostgal_photoz_err,distmod,mwebv,target"
)
ZENODO_METADATA = (
    "object_id,ra,decl,ddf_bool,hostgal_specz,hostgal_photoz,hostgal_photoz_err,distmod,mwebv,target,"
    "true_target,true_z,tflux_u"
)
SNANA_HEADER = """SURVEY: DES
SNID:   {snid}
IAUC:    UNKNOWN
SNTYPE:  {sntype}
FILTERS: griz
RA:      34.500000  deg
DECL:    -5.500000  deg
MWEBV:   0.0227    MW E(B-V)
REDSHIFT_FINAL:   0.64369 +- 0.00500  (CMB)
REDSHIFT_SPEC:    {spec}
HOST_GALAXY_PHOTO-Z:   0.6486  +- 0.0116
SIM_COMMENT:  SN Type = LEAK , MODEL = SDSS-017564
SIM_REDSHIFT:  0.6435

# TERSE LIGHT CURVE OUTPUT:
#
NOBS: {nobs}
NVAR: 9
VARLIST:  MJD  FLT FIELD   FLUXCAL   FLUXCALERR   SNR    MAG     MAGERR  SIM_MAG
"""
ALERT_POINT: dict[str, Any] = {
    "type": "record",
    "name": "candidate",
    "fields": [
        {"name": "jd", "type": "double"},
        {"name": "fid", "type": "int"},
        {"name": "magpsf", "type": ["float", "null"]},
        {"name": "sigmapsf", "type": ["float", "null"]},
        {"name": "isdiffpos", "type": ["string", "null"]},
        {"name": "ra", "type": ["double", "null"]},
        {"name": "dec", "type": ["double", "null"]},
        {"name": "diffmaglim", "type": ["float", "null"]},
    ],
}
ALERT_SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "alert",
    "namespace": "ztf",
    "fields": [
        {"name": "objectId", "type": "string"},
        {"name": "candidate", "type": ALERT_POINT},
        {
            "name": "prv_candidates",
            "type": ["null", {"type": "array", "items": {**ALERT_POINT, "name": "prv_candidate"}}],
        },
    ],
}


class Fabricator:
    """Writes survey files into a folder."""

    kaggle, zenodo = KAGGLE, ZENODO

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def rows(self, ids: Sequence[int], points: int = 6, seed: int = 0) -> list[str]:
        """PLAsTiCC rows: object_id, mjd, passband, flux, error, detected."""
        lines = []
        for name in ids:
            rng = np.random.default_rng([seed, name])
            times = 59600 + np.sort(rng.uniform(0, 100, points))
            for place, time in enumerate(times):
                flux, error = rng.normal(0, 100), rng.uniform(1, 5)
                lines.append(f"{name},{time:.4f},{place % 6},{flux:.6f},{error:.6f},{int(flux > 5 * error)}")
        return lines

    def table(self, rows: Sequence[str], header: str = KAGGLE) -> str:
        return "\n".join([header, *rows]) + "\n"

    def metadata(self, ids: Sequence[int], dialect: str = "kaggle") -> str:
        if dialect == "kaggle":
            rows = [f"{i},{i}.5,-4{i}.25,300.0,-50.0,1,0.1000,0.{i}000,0.0500,nan,0.017,90" for i in ids]
            return "\n".join([KAGGLE_METADATA, *rows]) + "\n"
        rows = [f"    {i}, {i}.5000,-4{i}.2500,1, 0.100, 0.{i}00, 0.050,-9.000, 0.017, 90, 90, 9.9, 1.0" for i in ids]
        return "\n".join([ZENODO_METADATA, *rows]) + "\n"

    def snana(self, snid: int = 1, points: int = 8, **header: object) -> str:
        rng = np.random.default_rng(snid)
        rows = [
            f"OBS:  {56200 + 3 * place:.3f}  {'griz'[place % 4]} NULL  {rng.normal(50, 30):.3e}  "
            f"{rng.uniform(1, 5):.3e}  1.00  23.000  0.100  22.900"
            for place in range(points)
        ]
        values = {"snid": snid, "sntype": "-9", "spec": "-9.00000 +- 9.00000", "nobs": points} | header
        return SNANA_HEADER.format(**values) + "\n".join(rows) + "\nEND:\n"

    def bts(self, points: int = 5, seed: int = 0) -> str:
        rng = np.random.default_rng(seed)
        rows = [
            f"{place},{58500 + 2 * place + rng.uniform():.6f},{'gR'[place % 2]},{rng.uniform(16, 20):.4f},"
            f"{rng.uniform(0.02, 0.2):.4f}"
            for place in range(points)
        ]
        return "\n".join([",ant_mjd,ant_passband,ant_mag,ant_magerr", *rows]) + "\n"

    def bts_table(self, names: Sequence[str]) -> str:
        header = "ZTFID,IAUID,RA,Dec,peakt,peakfilt,peakmag,peakabs,duration,rise,fade,type,redshift,b,A_V"
        row = "{},SN2020x,08:13:16.95,+22:38:53.9,561.73,g,15.2,-,>66.42,24.3,>42.1,SN Ia,0.05,27.5,0.31"
        return "\n".join([header, *(row.format(name) for name in names)]) + "\n"

    def alert(self, name: str = "ZTF20abc", schema: Mapping[str, Any] = ALERT_SCHEMA, codec: str = "null") -> bytes:
        point = {
            "jd": 2459000.5, "fid": 1, "magpsf": 18.0, "sigmapsf": 0.1, "isdiffpos": "t", "ra": 10.0, "dec": 20.0,
            "diffmaglim": 20.0,
        }  # fmt: skip
        limit = {**point, "jd": 2458998.5, "magpsf": None, "sigmapsf": None, "isdiffpos": None}
        fainter = {**point, "jd": 2458999.5, "fid": 2, "isdiffpos": "f"}
        packet = {"objectId": name, "candidate": point, "prv_candidates": [limit, fainter]}
        stream = io.BytesIO()
        fastavro.writer(stream, dict(schema), [packet], codec=codec)
        return stream.getvalue()

    def pair(self, name: str = "SIM", **changes: Any) -> None:
        """A HEAD/PHOT pair of three objects with 3, 1 and 2 observations."""
        first, last = changes.get("first", [1, 5, 7]), changes.get("last", [3, 5, 8])
        head = fits.BinTableHDU.from_columns(
            [
                fits.Column("SNID", "16A", array=changes.get("snid", ["11", "12", "13"])),
                fits.Column("RA", "D", array=[10.0, 20.0, 30.0]),
                fits.Column("DEC", "D", array=[-10.0, -20.0, -30.0]),
                fits.Column("MWEBV", "E", array=[0.1, 0.2, 0.3]),
                fits.Column("HOSTGAL_PHOTOZ", "E", array=[0.3, -9.0, 0.5]),
                fits.Column("HOSTGAL_PHOTOZ_ERR", "E", array=[0.03, -9.0, 0.05]),
                fits.Column("SNTYPE", "J", array=[1, 2, -9]),
                fits.Column("SIM_REDSHIFT_CMB", "E", array=[9.9, 9.9, 9.9]),
                fits.Column("NOBS", "J", array=changes.get("nobs", [3, 1, 2])),
                fits.Column("PTROBS_MIN", "J", array=first),
                fits.Column("PTROBS_MAX", "J", array=last),
            ]
        )
        head.header["SURVEY"] = changes.get("survey", "DES")
        head.header["PHOTFILE"] = changes.get("photfile", f"{name}_PHOT.FITS")
        errors = np.ones(9)
        time = np.array([56100.0, 56101, 56102, -777, 56100, -777, 56101, 56100, -777])
        phot = fits.BinTableHDU.from_columns(
            [
                fits.Column("MJD", "D", array=time),
                fits.Column(changes.get("band", "BAND"), "2A", array=list("grizgrizg")),
                fits.Column("FLUXCAL", changes.get("form", "E"), array=changes.get("flux", np.arange(9.0) * 10)),
                fits.Column("FLUXCALERR", "E", array=errors),
            ]
        )
        suffix = changes.get("suffix", "")
        for kind, table in (("HEAD", head), ("PHOT", phot)):
            path = self.folder / f"{name}_{kind}.FITS{suffix}"
            table.writeto(path, overwrite=True)

    def tar(self, name: str, files: Mapping[str, str | bytes], mode: str = "w:xz") -> Path:
        path = self.folder / name
        with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
            for member, content in files.items():
                data = content.encode() if isinstance(content, str) else content
                info = tarfile.TarInfo(member)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        return path


class Outcome:
    """What reading gave: checked chunks, errors, and the light curves joined."""

    def __init__(self, paths: Sequence[Path], chunk_items: int = 1024) -> None:
        self.errors: list[DataError] = []
        self.chunks: list[xr.Dataset] = list(read(paths, ReadOptions(self.errors.append, chunk_items)))
        for chunk in self.chunks:
            check_chunk(chunk)

    @property
    def ids(self) -> list[str]:
        return sorted(str(name) for chunk in self.chunks for name in chunk["object_id"].values)

    @property
    def curves(self) -> LightCurves:
        return LightCurves.concat([LightCurves.from_dataset(chunk) for chunk in self.chunks])


@pytest.fixture
def make(tmp_path: Path) -> Fabricator:
    return Fabricator(tmp_path)


@pytest.fixture
def outcome() -> Callable[..., Outcome]:
    return Outcome
