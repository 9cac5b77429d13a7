"""Supernovae: thermonuclear (Ia, 91bg-like, Iax), hydrogen-rich (IIP, IIL, IIn) and stripped-envelope (Ib, Ic).

Absolute magnitudes and their scatter follow Richardson et al. 2014 (AJ 147, 118, table 1) within a few tenths; rise
times, decline rates and temperatures are round numbers of the usual templates.
"""

import numpy as np

from armillary.domains.transients.simulation.luminosities import Bazin, Plateau
from armillary.domains.transients.simulation.population import Scene
from armillary.domains.transients.simulation.thermal import Cooling, ThermalTransient


def draw_ia(rng: np.random.Generator, scene: Scene) -> ThermalTransient:
    """A normal SN Ia: brighter ones are slower and bluer (stretch and colour), with a second maximum in i, z, y."""
    stretch = float(np.clip(rng.normal(1.0, 0.09), 0.75, 1.25))
    colour = float(rng.normal(0.0, 0.05) + rng.exponential(0.06))
    return ThermalTransient(
        peak_time=scene.draw_time(rng),
        redshift=scene.draw_redshift(rng, -19.8),
        peak_magnitude=-19.35 - 1.5 * (stretch - 1.0) + rng.normal(0.0, 0.12),
        luminosity=Bazin(3.6 * stretch, 11.0 * stretch, 17.5 * stretch, tail=0.09),
        temperature=Cooling(12300.0, 4500.0, 15.0 * stretch),
        blanketing_onset=rng.normal(3600.0, 60.0),
        host_a_v=max(3.1 * colour, 0.0),
        red_bump=rng.uniform(0.6, 1.1),
        bump_phase=26.0 * stretch,
    )


def draw_91bg(rng: np.random.Generator, scene: Scene) -> ThermalTransient:
    """A 91bg-like SN Ia: faint, red and fast, without a second maximum."""
    return ThermalTransient(
        peak_time=scene.draw_time(rng),
        redshift=scene.draw_redshift(rng, -18.2),
        peak_magnitude=rng.normal(-17.2, 0.4),
        luminosity=Bazin(3.2, rng.normal(9.0, 0.6), 14.0, tail=0.06),
        temperature=Cooling(rng.normal(7300.0, 300.0), 4000.0, 11.0),
        blanketing_onset=3900.0,
        host_a_v=rng.exponential(0.1),
    )


def draw_iax(rng: np.random.Generator, scene: Scene) -> ThermalTransient:
    """An SN Iax: an under-luminous cousin of SN Ia with a wide range of peak magnitudes."""
    return ThermalTransient(
        peak_time=scene.draw_time(rng),
        redshift=scene.draw_redshift(rng, -18.5),
        peak_magnitude=float(np.clip(rng.normal(-17.0, 0.9), -18.8, -14.5)),
        luminosity=Bazin(3.2, rng.normal(12.0, 1.5), 13.0, tail=0.15),
        temperature=Cooling(rng.normal(9500.0, 500.0), 4600.0, 12.0),
        blanketing_onset=3500.0,
        host_a_v=rng.exponential(0.2),
    )


def draw_iip(rng: np.random.Generator, scene: Scene) -> ThermalTransient:
    """An SN IIP: up in a week, a plateau of about 100 days, then a fall of two magnitudes."""
    return ThermalTransient(
        peak_time=scene.draw_time(rng),
        redshift=scene.draw_redshift(rng, -18.3),
        peak_magnitude=rng.normal(-16.9, 0.8),
        luminosity=Plateau(
            rise=rng.uniform(2.5, 4.5),
            duration=rng.normal(100.0, 12.0),
            slope=rng.uniform(0.004, 0.014),
            drop=rng.uniform(1.3, 2.4),
        ),
        temperature=Cooling(rng.normal(13000.0, 1500.0), 5300.0, rng.uniform(12.0, 20.0), ceiling=1.8),
        blanketing_onset=3300.0,
        host_a_v=rng.exponential(0.25),
    )


def draw_iil(rng: np.random.Generator, scene: Scene) -> ThermalTransient:
    """An SN IIL: as a IIP, but brighter and falling straight in magnitudes."""
    return ThermalTransient(
        peak_time=scene.draw_time(rng),
        redshift=scene.draw_redshift(rng, -18.8),
        peak_magnitude=rng.normal(-17.6, 0.6),
        luminosity=Plateau(
            rise=rng.uniform(3.0, 5.5),
            duration=rng.normal(85.0, 8.0),
            slope=rng.uniform(0.018, 0.035),
            drop=rng.uniform(0.6, 1.2),
        ),
        temperature=Cooling(rng.normal(13000.0, 1500.0), 5600.0, rng.uniform(14.0, 22.0), ceiling=1.6),
        blanketing_onset=3300.0,
        host_a_v=rng.exponential(0.25),
    )


def draw_iin(rng: np.random.Generator, scene: Scene) -> ThermalTransient:
    """An SN IIn: broad, bright and blue for months, fed by circumstellar gas."""
    return ThermalTransient(
        peak_time=scene.draw_time(rng),
        redshift=scene.draw_redshift(rng, -19.8),
        peak_magnitude=rng.normal(-18.5, 0.7),
        luminosity=Bazin(rng.uniform(6.0, 11.0), rng.uniform(45.0, 110.0), rng.uniform(25.0, 45.0)),
        temperature=Cooling(rng.normal(11500.0, 1000.0), 7000.0, rng.uniform(30.0, 60.0)),
        host_a_v=rng.exponential(0.2),
    )


def draw_ii(rng: np.random.Generator, scene: Scene) -> ThermalTransient:
    """An SN II of the mixed kind: 65 % IIP, 20 % IIL, 15 % IIn."""
    draws = (draw_iip, draw_iil, draw_iin)
    return draws[int(rng.choice(3, p=(0.65, 0.20, 0.15)))](rng, scene)


def _draw_stripped(rng: np.random.Generator, scene: Scene, magnitude: float, temperature: float) -> ThermalTransient:
    return ThermalTransient(
        peak_time=scene.draw_time(rng),
        redshift=scene.draw_redshift(rng, magnitude - 1.3),
        peak_magnitude=rng.normal(magnitude, 0.7),
        luminosity=Bazin(4.2, rng.normal(14.0, 2.5), rng.normal(17.0, 1.5), tail=0.12),
        temperature=Cooling(rng.normal(temperature, 500.0), 4500.0, rng.uniform(11.0, 16.0)),
        blanketing_onset=3800.0,
        host_a_v=rng.exponential(0.5),
    )


def draw_ib(rng: np.random.Generator, scene: Scene) -> ThermalTransient:
    """An SN Ib: a stripped star, redder and fainter than Ia, no second maximum."""
    return _draw_stripped(rng, scene, -17.4, 8000.0)


def draw_ic(rng: np.random.Generator, scene: Scene) -> ThermalTransient:
    """An SN Ic: as Ib, a little brighter and redder."""
    return _draw_stripped(rng, scene, -17.7, 7600.0)


def draw_ibc(rng: np.random.Generator, scene: Scene) -> ThermalTransient:
    """An SN Ib or Ic, half and half."""
    return (draw_ib, draw_ic)[int(rng.integers(2))](rng, scene)
