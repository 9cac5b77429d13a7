"""Where an object lies and what is known of its host galaxy: position, Galactic dust, redshift estimates."""

from dataclasses import dataclass

import numpy as np

# Equatorial coordinates of the Galactic north pole (J2000) [deg].
_POLE_RA, _POLE_DEC = 192.85948, 27.12825


@dataclass(frozen=True)
class Position:
    """ra, dec, Galactic latitude [deg] and the dust in front, E(B-V) [mag]."""

    ra: float
    dec: float
    latitude: float
    mwebv: float


def galactic_latitude(ra: float, dec: float) -> float:
    """sin b = sin d sin d_P + cos d cos d_P cos(a - a_P), all in degrees."""
    a, d, pole = np.radians(ra - _POLE_RA), np.radians(dec), np.radians(_POLE_DEC)
    return float(np.degrees(np.arcsin(np.sin(d) * np.sin(pole) + np.cos(d) * np.cos(pole) * np.cos(a))))


def draw_position(rng: np.random.Generator, dec_range: tuple[float, float]) -> Position:
    """A place uniform on the sphere between two declinations [deg], at least 12 degrees from the Galactic plane.

    The dust is a slab: E(B-V) = 0.022 / sin|b| mag with a log-normal scatter of 40 %.
    """
    sines = np.sin(np.radians(dec_range))
    while True:
        ra, dec = float(rng.uniform(0.0, 360.0)), float(np.degrees(np.arcsin(rng.uniform(*sines))))
        latitude = galactic_latitude(ra, dec)
        if abs(latitude) >= 12.0:
            return Position(ra, dec, latitude, _slab_dust(rng, latitude))


def draw_deep_position(rng: np.random.Generator) -> Position:
    """A place within 1.7 degrees of one of LSST's deep drilling fields: ELAIS-S1, XMM-LSS, CDF-S, COSMOS."""
    ra, dec = ((9.45, -44.0), (35.71, -4.75), (53.13, -28.1), (150.1, 2.18))[int(rng.integers(4))]
    dec += float(rng.uniform(-1.2, 1.2))
    ra = float((ra + rng.uniform(-1.2, 1.2) / np.cos(np.radians(dec))) % 360.0)
    latitude = galactic_latitude(ra, dec)
    return Position(ra, dec, latitude, 0.6 * _slab_dust(rng, latitude))


def _slab_dust(rng: np.random.Generator, latitude: float) -> float:
    return float(0.022 / np.sin(np.radians(abs(latitude))) * rng.lognormal(0.0, 0.4))


@dataclass(frozen=True)
class HostRedshift:
    """Redshift estimates of the host: spectroscopic, photometric and the photometric error; all 0 in our Galaxy."""

    spectroscopic: float
    photometric: float
    photometric_error: float


def draw_host_redshift(rng: np.random.Generator, redshift: float) -> HostRedshift:
    """Photo-z with a scatter of 2 to 3 % of 1+z that its error describes, and 8 % outliers that it does not always."""
    if redshift == 0:
        return HostRedshift(0.0, 0.0, 0.0)
    error = float((1.0 + redshift) * 0.022 * rng.lognormal(0.0, 0.5))
    photometric = redshift + error * float(rng.standard_normal())
    if rng.uniform() < 0.08:
        photometric = float(rng.gamma(2.5, 0.4))
        error *= float(rng.uniform(2.0, 15.0))
    spectroscopic = redshift + (1.0 + redshift) * 0.001 * float(rng.standard_normal())
    return HostRedshift(max(spectroscopic, 0.001), max(photometric, 0.005), error)
