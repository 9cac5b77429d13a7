"""The surveys in the box: LSST-like (PLAsTiCC's classes and codes), ZTF-like (bright transients), DES-like (SPCC)."""

import numpy as np

from armillary.domains.transients.bands import band_names, wavelengths
from armillary.domains.transients.simulation import rare, supernovae
from armillary.domains.transients.simulation.agn import draw_agn
from armillary.domains.transients.simulation.cadence import des_supernova, lsst_deep, lsst_wide, ztf_public
from armillary.domains.transients.simulation.flares import draw_flare_star
from armillary.domains.transients.simulation.microlensing import draw_microlens
from armillary.domains.transients.simulation.observe import Camera, Measured
from armillary.domains.transients.simulation.periodic import draw_eclipsing_binary, draw_mira, draw_rr_lyrae
from armillary.domains.transients.simulation.survey import Population, Survey


def camera(survey: str, electrons: float, error_floor: float) -> Camera:
    """A camera with the bands of the band table."""
    return Camera(tuple(wavelengths(band_names(survey)).tolist()), electrons, error_floor)


def found_twice(measured: Measured) -> bool:
    """Two detections or more: what PLAsTiCC and SPCC ask of an object."""
    return int(measured.detected.sum()) >= 2


def found_bright(measured: Measured) -> bool:
    """Brighter than 19 mag once and five detections or more, as for a spectroscopic survey of bright transients."""
    detected = measured.detected & (measured.flux > 0)
    return int(detected.sum()) >= 5 and float(np.max(measured.flux, where=detected, initial=0.0)) >= 10**3.4


# Shares are roughly those of PLAsTiCC's training set; the rarest are raised above one per cent for small samples.
LSST = Survey(
    name="lsst",
    bands=band_names("lsst"),
    camera=camera("lsst", electrons=60.0, error_floor=0.004),
    cadence=lsst_wide,
    start=59580.0,
    num_years=3,
    limit=22.9,
    dec_range=(-65.0, 3.0),
    populations=(
        Population("6", 0.02, draw_microlens),
        Population("15", 0.06, rare.draw_tde),
        Population("16", 0.11, draw_eclipsing_binary),
        Population("42", 0.16, supernovae.draw_ii),
        Population("52", 0.025, supernovae.draw_iax),
        Population("53", 0.012, draw_mira),
        Population("62", 0.06, supernovae.draw_ibc),
        Population("64", 0.015, rare.draw_kilonova),
        Population("65", 0.09, draw_flare_star),
        Population("67", 0.028, supernovae.draw_91bg),
        Population("88", 0.06, draw_agn),
        Population("90", 0.295, supernovae.draw_ia),
        Population("92", 0.035, draw_rr_lyrae),
        Population("95", 0.03, rare.draw_slsn),
    ),
    found=found_twice,
    deep_cadence=lsst_deep,
    deep_share=0.1,
)

# Shares are roughly those of the Bright Transient Survey, without its rarest types.
ZTF = Survey(
    name="ztf",
    bands=band_names("ztf")[:2],
    camera=camera("ztf", electrons=2.0, error_floor=0.03),
    cadence=ztf_public,
    start=58200.0,
    num_years=3,
    limit=18.9,
    dec_range=(-28.0, 80.0),
    populations=(
        Population("SN Ia", 0.66, supernovae.draw_ia),
        Population("SN Ia-91bg", 0.02, supernovae.draw_91bg),
        Population("SN Iax", 0.015, supernovae.draw_iax),
        Population("SN II", 0.14, supernovae.draw_ii),
        Population("SN IIP", 0.025, supernovae.draw_iip),
        Population("SN IIn", 0.03, supernovae.draw_iin),
        Population("SN Ib", 0.03, supernovae.draw_ib),
        Population("SN Ic", 0.04, supernovae.draw_ic),
        Population("SLSN-I", 0.02, rare.draw_slsn),
        Population("TDE", 0.02, rare.draw_tde),
    ),
    found=found_bright,
)

DES = Survey(
    name="des",
    bands=band_names("des"),
    camera=camera("des", electrons=30.0, error_floor=0.01),
    cadence=des_supernova,
    start=56170.0,
    num_years=1,
    limit=23.2,
    dec_range=(-45.0, 2.0),
    populations=(
        Population("Ia", 0.24, supernovae.draw_ia),
        Population("II", 0.45, supernovae.draw_iip),
        Population("IIn", 0.04, supernovae.draw_iin),
        Population("IIP", 0.01, supernovae.draw_iip),
        Population("IIL", 0.02, supernovae.draw_iil),
        Population("Ib", 0.12, supernovae.draw_ib),
        Population("Ic", 0.10, supernovae.draw_ic),
        Population("Ibc", 0.02, supernovae.draw_ibc),
    ),
    found=found_twice,
)
