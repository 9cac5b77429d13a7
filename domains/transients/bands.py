"""The table of pass-bands: our name, wavelength, survey, and what files call them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Band:
    """One pass-band.

    name: survey and filter, such as "lsst_u".
    wavelength: representative wavelength [Angstrom].
    aliases: what the survey's files write, compared as they stand: 'R' is not 'r'.
    """

    name: str
    survey: str
    wavelength: float
    aliases: tuple[str, ...]


# LSST and ZTF: the values that the t2 code uses (arXiv 2105.06178), so that its Gaussian process sees the same axis.
# DES: centres that DECam writes into the FILTER keyword of its images.
BANDS: tuple[Band, ...] = (
    Band("lsst_u", "lsst", 3685.0, ("u", "0")),
    Band("lsst_g", "lsst", 4802.0, ("g", "1")),
    Band("lsst_r", "lsst", 6231.0, ("r", "2")),
    Band("lsst_i", "lsst", 7542.0, ("i", "3")),
    Band("lsst_z", "lsst", 8690.0, ("z", "4")),
    Band("lsst_y", "lsst", 9736.0, ("y", "Y", "5")),
    Band("des_g", "des", 4720.0, ("g",)),
    Band("des_r", "des", 6415.0, ("r",)),
    Band("des_i", "des", 7835.0, ("i",)),
    Band("des_z", "des", 9260.0, ("z",)),
    Band("ztf_g", "ztf", 4804.79, ("g", "1")),
    Band("ztf_r", "ztf", 6436.92, ("r", "R", "2")),  # ANTARES writes R for ZTF's r
    Band("ztf_i", "ztf", 7968.22, ("i", "3")),
)
SURVEYS: tuple[str, ...] = ("lsst", "des", "ztf")

_BY_NAME = {band.name: band for band in BANDS}


def survey_bands(survey: str) -> tuple[Band, ...]:
    """The bands of a survey, from blue to red."""
    bands = tuple(band for band in BANDS if band.survey == survey)
    if not bands:
        raise ValueError(f"no survey '{survey}'; the band table has {', '.join(SURVEYS)}")
    return bands


def band_names(survey: str) -> tuple[str, ...]:
    """Names of a survey's bands, from blue to red."""
    return tuple(band.name for band in survey_bands(survey))


def wavelengths(names: tuple[str, ...]) -> Float[np.ndarray, " b"]:
    """Wavelength of each band [Angstrom]."""
    for name in names:
        if name not in _BY_NAME:
            raise ValueError(f"no band '{name}'; the table has {', '.join(_BY_NAME)}")
    return np.array([_BY_NAME[name].wavelength for name in names], np.float64)


def alias_table(survey: str) -> dict[str, int]:
    """What the survey's files call a band -> its place in `band_names(survey)`; our own names are understood too."""
    return {alias: place for place, band in enumerate(survey_bands(survey)) for alias in (*band.aliases, band.name)}
