"""Periodic variables of the Galaxy: RR Lyrae, Miras, eclipsing binaries."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from armillary.domains.transients.simulation.population import Scene
from armillary.domains.transients.simulation.stellar import Star


@dataclass(frozen=True)
class Pulsator:
    """A star whose magnitude follows a sawtooth: up during `rise` of the cycle, down during the rest.

    amplitude: minimum to maximum at 4800 Angstrom [mag]; it changes with wavelength as (lambda / 4800)^amplitude_slope.
    The reference image holds the mean magnitude, so the difference flux is negative at minimum. `rise` 0.5 is a
    symmetric wave; corners are rounded because the wave is a sine of the warped phase.
    """

    star: Star
    period: float
    phase: float
    amplitude: float
    amplitude_slope: float
    rise: float
    redshift: float = 0.0

    def flux(self, time: Float[np.ndarray, " n"], wavelength: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        cycle = np.mod(time / self.period + self.phase, 1.0)
        warped = np.where(cycle < self.rise, 0.5 * cycle / self.rise, 0.5 + 0.5 * (cycle - self.rise) / (1 - self.rise))
        brightening = -0.5 * np.cos(2.0 * np.pi * warped)
        amplitude = self.amplitude * (wavelength / 4800.0) ** self.amplitude_slope
        return self.star.flux(wavelength) * (10.0 ** (0.4 * amplitude * brightening) - 1.0)

    def quiescent(self, wavelength: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        return self.star.flux(wavelength)


def draw_rr_lyrae(rng: np.random.Generator, scene: Scene) -> Pulsator:
    """An RR Lyrae star: 70 % RRab (0.4 to 0.8 d, steep rise), 30 % RRc (0.25 to 0.4 d, nearly a sine)."""
    fundamental = rng.uniform() < 0.7
    return Pulsator(
        star=Star(rng.uniform(16.5, scene.limit - 1.8), rng.normal(6700.0, 200.0)),
        period=float(np.clip(rng.normal(0.57, 0.07), 0.4, 0.85) if fundamental else rng.uniform(0.25, 0.40)),
        phase=rng.uniform(),
        amplitude=rng.uniform(0.7, 1.3) if fundamental else rng.uniform(0.35, 0.6),
        amplitude_slope=-0.9,
        rise=rng.uniform(0.13, 0.22) if fundamental else rng.uniform(0.38, 0.48),
    )


def draw_mira(rng: np.random.Generator, scene: Scene) -> Pulsator:
    """A Mira: about 300 days, several magnitudes in g, one in y, very cool."""
    return Pulsator(
        star=Star(rng.uniform(18.5, scene.limit - 0.9), rng.normal(2700.0, 150.0)),
        period=float(np.clip(rng.lognormal(np.log(300.0), 0.28), 120.0, 600.0)),
        phase=rng.uniform(),
        amplitude=rng.uniform(3.5, 6.5),
        amplitude_slope=-1.8,
        rise=rng.uniform(0.35, 0.48),
    )


@dataclass(frozen=True)
class EclipsingBinary:
    """Two stars that hide each other: two dips a period, at phases 0 and 0.5, against constant light.

    depths: share of the light lost at 4800 Angstrom in the two eclipses; width: their duration as share of the period.
    The secondary eclipse hides the cooler star, so it is deeper in the red: depth (lambda / 4800)^0.5.
    """

    star: Star
    period: float
    phase: float
    depths: tuple[float, float]
    width: float
    redshift: float = 0.0

    def flux(self, time: Float[np.ndarray, " n"], wavelength: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        cycle = np.mod(time / self.period + self.phase, 1.0)
        primary = self.depths[0] * self._dip(np.minimum(cycle, 1.0 - cycle))
        secondary = self.depths[1] * (wavelength / 4800.0) ** 0.5 * self._dip(np.abs(cycle - 0.5))
        return -self.star.flux(wavelength) * np.minimum(primary + secondary, 0.98)

    def quiescent(self, wavelength: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        return self.star.flux(wavelength)

    def _dip(self, distance: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """1 at mid-eclipse, 0 outside, with sloping sides (ingress and egress take half of it)."""
        return np.clip(2.0 * (1.0 - 2.0 * distance / self.width), 0.0, 1.0)


def draw_eclipsing_binary(rng: np.random.Generator, scene: Scene) -> EclipsingBinary:
    """An eclipsing binary: periods of hours to weeks; short ones are eclipsed for a larger share of it."""
    period = float(np.exp(rng.uniform(np.log(0.25), np.log(12.0))))
    primary = rng.uniform(0.15, 0.65)
    return EclipsingBinary(
        star=Star(rng.uniform(16.5, scene.limit - 2.3), rng.uniform(4500.0, 9000.0)),
        period=period,
        phase=rng.uniform(),
        depths=(primary, primary * rng.uniform(0.2, 0.9)),
        width=float(np.clip(0.32 * period ** (-2.0 / 3.0), 0.04, 0.28)),
    )
