"""Rare explosions: super-luminous supernovae, tidal disruptions, kilonovae."""

import numpy as np

from armillary.domains.transients.simulation.luminosities import Bazin, FallBack
from armillary.domains.transients.simulation.population import Scene
from armillary.domains.transients.simulation.thermal import Cooling, ThermalTransient


def draw_slsn(rng: np.random.Generator, scene: Scene) -> ThermalTransient:
    """An SLSN-I: -21.7 mag, a month to rise, hot for months."""
    rise = rng.uniform(9.0, 15.0)
    return ThermalTransient(
        peak_time=scene.draw_time(rng),
        redshift=scene.draw_redshift(rng, -22.7),
        peak_magnitude=rng.normal(-21.7, 0.5),
        luminosity=Bazin(rise, rise * rng.uniform(2.8, 4.2), rise * 3.6),
        temperature=Cooling(rng.normal(14500.0, 1200.0), 6000.0, rng.uniform(35.0, 55.0)),
        blanketing_onset=2600.0,
        host_a_v=rng.exponential(0.1),
    )


def draw_tde(rng: np.random.Generator, scene: Scene) -> ThermalTransient:
    """A tidal disruption event: a t^(-5/3) decline at a constant 20 to 35 thousand kelvin, so it stays blue."""
    temperature = rng.uniform(18000.0, 34000.0)
    return ThermalTransient(
        peak_time=scene.draw_time(rng),
        redshift=scene.draw_redshift(rng, -20.2, highest=1.2),
        peak_magnitude=rng.normal(-19.4, 0.6),
        luminosity=FallBack(rise=rng.uniform(8.0, 16.0), scale=rng.uniform(30.0, 70.0)),
        temperature=Cooling(temperature, temperature, 1000.0),
        host_a_v=rng.exponential(0.06),
    )


def draw_kilonova(rng: np.random.Generator, scene: Scene) -> ThermalTransient:
    """A kilonova: half a day to rise, gone in days, from white to deep red (as GW170817)."""
    return ThermalTransient(
        peak_time=scene.draw_time(rng),
        redshift=scene.draw_redshift(rng, -16.6),
        peak_magnitude=rng.normal(-15.9, 0.5),
        luminosity=FallBack(rise=rng.uniform(0.25, 0.5), scale=rng.uniform(1.6, 3.0), power=-1.8),
        temperature=Cooling(rng.normal(7500.0, 700.0), 2400.0, rng.uniform(1.6, 2.8), ceiling=1.2),
    )
