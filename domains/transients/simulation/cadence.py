"""When a survey looks, in which band, and how deep: three cadences drawn from a generator.

A visit is one exposure (or the sum of a night's). Nights follow the season (a field is behind the Sun for part of the
year), weather, and the Moon, which makes the sky bright and sends the survey to its red bands.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

LUNATION = 29.530589  # synodic month [d]


@dataclass(frozen=True)
class Visits:
    """Visits in time order: time (MJD) [d], place of the band in the survey's list, 5-sigma depth [mag]."""

    time: Float[np.ndarray, " n"]
    band: Int[np.ndarray, " n"]
    depth: Float[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.time)


def lsst_wide(rng: np.random.Generator, start: float, num_years: int) -> Visits:
    """The wide survey: about 130 visits in three years, one band at a time, a few days to weeks apart in one band."""
    nights = _nights(rng, start, num_years, season=rng.uniform(170.0, 230.0), interval=4.4, shortest=1.0, clear=0.97)
    moon = moonlight(nights)
    dark = np.array([0.09, 0.15, 0.24, 0.22, 0.15, 0.15])
    bright = np.array([0.01, 0.06, 0.22, 0.24, 0.23, 0.24])
    shares = (1 - moon)[:, None] * dark + moon[:, None] * bright
    band = (rng.uniform(size=(len(nights), 1)) > np.cumsum(shares, axis=1)[:, :-1]).sum(1)
    return _visits(rng, nights, band, (23.3, 24.5, 24.1, 23.5, 22.8, 22.0), moon, scatter=0.25)


def lsst_deep(rng: np.random.Generator, start: float, num_years: int) -> Visits:
    """A deep drilling field: every week all six bands in a row (u only when the Moon is down), one magnitude deeper."""
    nights = _nights(rng, start, num_years, season=rng.uniform(150.0, 190.0), interval=8.0, shortest=5.0, clear=0.95)
    # The order r g i z y u and the 11 minutes between bands are those of PLAsTiCC's deep fields.
    order = np.array([2, 1, 3, 4, 5, 0])
    time = (nights[:, None] + 0.0077 * np.arange(6)).ravel()
    band = np.tile(order, len(nights))
    moon = moonlight(time)
    keep = (band != 0) | (moon < 0.5)
    time, band, moon = time[keep], band[keep], moon[keep]
    return _visits(rng, time, band, (24.9, 25.6, 25.5, 25.1, 24.7, 23.7), moon, scatter=0.15)


def ztf_public(rng: np.random.Generator, start: float, num_years: int) -> Visits:
    """The ZTF public survey: g and r on one night every two to three days, weather gaps, seasons of eight months."""
    nights = _nights(rng, start, num_years, season=rng.uniform(200.0, 270.0), interval=2.6, shortest=1.0, clear=0.75)
    both = rng.uniform(size=(len(nights), 2)) < 0.85
    time = (nights[:, None] + np.array([0.0, 0.04]) + rng.uniform(0.0, 0.01, (len(nights), 2)))[both]
    band = np.broadcast_to(np.array([0, 1]), both.shape)[both]
    return _visits(rng, time, band, (20.8, 20.6), moonlight(time), scatter=0.25)


def des_supernova(rng: np.random.Generator, start: float, num_years: int) -> Visits:
    """A DES supernova field: griz about every five days (g and r on one night, i and z on the next) in one season."""
    nights = _nights(rng, start, num_years, season=rng.uniform(110.0, 170.0), interval=5.6, shortest=3.0, clear=0.85)
    offsets = np.array([0.0, 0.008, 0.9, 0.91])
    both = rng.uniform(size=(len(nights), 4)) < 0.93
    time = (nights[:, None] + offsets)[both]
    band = np.broadcast_to(np.arange(4), both.shape)[both]
    return _visits(rng, time, band, (24.5, 24.4, 24.0, 23.8), moonlight(time), scatter=0.2)


def moonlight(time: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Illuminated share of the Moon, 0 new to 1 full, with new Moon at MJD 59580.8 (2 January 2022)."""
    return 0.5 - 0.5 * np.cos(2.0 * np.pi * (time - 59580.8) / LUNATION)


def _nights(
    rng: np.random.Generator,
    start: float,
    num_years: int,
    season: float,
    interval: float,
    shortest: float,
    clear: float,
) -> Float[np.ndarray, " n"]:
    """Nights with a visit: gaps of `shortest` plus an exponential (mean `interval`), only in season and good weather.

    Weather comes in spells: a five-day block is lost with probability 1 - `clear`.
    """
    offset = rng.uniform(0.0, 365.25)
    number = int(num_years * 365.25 / interval * 1.5) + 20
    gaps = shortest + rng.exponential(interval - shortest, number)
    time = start + np.cumsum(gaps) - gaps[0] * rng.uniform()
    lost = rng.uniform(size=int(num_years * 73.05) + 2) > clear
    inside = time < start + num_years * 365.25
    time = time[inside]
    in_season = np.mod(time - start + offset, 365.25) < season
    return time[in_season & ~lost[((time - start) / 5.0).astype(np.int64)]]


def _visits(
    rng: np.random.Generator,
    time: Float[np.ndarray, " n"],
    band: Int[np.ndarray, " n"],
    depths: tuple[float, ...],
    moon: Float[np.ndarray, " n"],
    scatter: float,
) -> Visits:
    """Visits with depth = the band's mean + seeing and air mass (normal) - moonlight, which costs most in the blue."""
    order = np.argsort(time, kind="stable")
    time, band, moon = time[order], band[order], moon[order]
    loss = 0.6 * np.linspace(1.0, 0.2, len(depths))
    depth = np.array(depths)[band] - loss[band] * (moon - 0.5) + rng.normal(0.0, scatter, len(time))
    return Visits(time, band.astype(np.int64), depth)
