"""What a physicist checks in simulated explosions: distance, time dilation, colour, time scales."""

from dataclasses import replace

import numpy as np
import pytest

from armillary.domains.transients.cosmology import distance_modulus
from armillary.domains.transients.simulation import rare, supernovae
from armillary.domains.transients.simulation.luminosities import FallBack
from armillary.domains.transients.simulation.population import Scene
from armillary.domains.transients.simulation.source import magnitude_from_flux
from armillary.domains.transients.simulation.thermal import REFERENCE_WAVELENGTH

SCENE = Scene(59580.0, 60675.0, 23.0)
DRAWS = {
    "Ia": supernovae.draw_ia,
    "91bg": supernovae.draw_91bg,
    "Iax": supernovae.draw_iax,
    "II": supernovae.draw_ii,
    "IIP": supernovae.draw_iip,
    "IIL": supernovae.draw_iil,
    "IIn": supernovae.draw_iin,
    "Ib": supernovae.draw_ib,
    "Ic": supernovae.draw_ic,
    "Ibc": supernovae.draw_ibc,
    "SLSN": rare.draw_slsn,
    "TDE": rare.draw_tde,
    "KN": rare.draw_kilonova,
}
every_explosion = pytest.mark.parametrize("name", DRAWS)


def draw(name, seed=0):
    return DRAWS[name](np.random.default_rng(seed), SCENE)


def light(source, phase, rest_wavelength):
    """Flux at rest-frame days since maximum and rest wavelengths [Angstrom]."""
    stretch = 1 + source.redshift
    phase, wavelength = np.broadcast_arrays(np.asarray(phase, float), np.asarray(rest_wavelength, float))
    return source.flux(source.peak_time + phase * stretch, wavelength * stretch)


def colour(source, phase):
    """Magnitude at 4800 minus that at 6200 Angstrom, at rest."""
    blue, red = light(source, [phase, phase], [4800.0, 6200.0])
    return 2.5 * np.log10(red / blue)


def decline(source, days):
    """Magnitudes from the brightest moment at 4400 Angstrom to `days` later."""
    phase = np.arange(-60.0, 300.0, 0.25)
    flux = light(source, phase, 4400.0)
    top = int(flux.argmax())
    return 2.5 * np.log10(flux[top] / np.interp(phase[top] + days, phase, flux))


@every_explosion
def test_the_peak_has_the_absolute_magnitude_and_the_distance_that_were_drawn(name):
    source = replace(draw(name), host_a_v=0.0)
    magnitude = magnitude_from_flux(light(source, [0.0], [REFERENCE_WAVELENGTH]))[0]
    k_correction = -2.5 * np.log10(1 + source.redshift)
    expected = source.peak_magnitude + distance_modulus(source.redshift) + k_correction
    assert magnitude == pytest.approx(expected, abs=1e-6)


@every_explosion
def test_time_stretches_and_flux_dims_with_redshift_exactly(name):
    near, far = replace(draw(name), redshift=0.1), replace(draw(name), redshift=0.6)
    phase = np.linspace(-30.0, 100.0, 40)
    ratio = light(far, phase, 4400.0)[20:] / light(near, phase, 4400.0)[20:]
    expected = 1.6 / 1.1 * 10 ** (-0.4 * (distance_modulus(0.6) - distance_modulus(0.1)))
    np.testing.assert_allclose(ratio, expected, rtol=1e-9)


@every_explosion
@pytest.mark.parametrize("seed", range(3))
def test_flux_is_finite_never_negative_and_gone_before_and_long_after(name, seed):
    source = draw(name, seed)
    flux = light(source, np.linspace(-400, 1500, 500), 5500.0)
    assert np.isfinite(flux).all()
    assert (flux >= 0).all()
    assert flux[0] < 1e-3 * flux.max()
    assert flux[-1] < 0.05 * flux.max()


@pytest.mark.parametrize("name", ["Ia", "91bg", "Iax", "IIP", "IIL", "Ib", "Ic", "SLSN", "KN"])
def test_expanding_ejecta_redden_after_the_peak(name):
    source = draw(name)
    days = {"KN": 2.0, "SLSN": 60.0}.get(name, 25.0)
    assert colour(source, days) > colour(source, 0.0) + 0.2


def test_tidal_disruptions_stay_blue():
    source = replace(draw("TDE"), host_a_v=0.0)
    assert colour(source, 0.0) < -0.15
    assert colour(source, 80.0) == pytest.approx(colour(source, 0.0), abs=0.01)


def test_a_tidal_disruption_fades_as_the_minus_five_thirds_power():
    shape = FallBack(rise=10.0, scale=40.0)
    late = shape(np.array([4000.0, 8000.0]))
    assert np.log2(late[0] / late[1]) == pytest.approx(5 / 3, abs=0.02)


def test_a_type_ia_fades_about_one_magnitude_in_fifteen_days_and_has_a_second_red_maximum():
    rates = [decline(draw("Ia", seed), 15.0) for seed in range(20)]
    assert 0.7 < np.median(rates) < 1.4
    phase = np.arange(5.0, 60.0)
    infrared = light(draw("Ia"), phase, 8000.0)
    without = light(replace(draw("Ia"), red_bump=0.0), phase, 8000.0)
    assert (infrared / without).argmax() == pytest.approx(20, abs=5)


def test_a_type_ia_rises_in_two_to_three_weeks():
    source = draw("Ia")
    phase = np.arange(-40.0, 1.0, 0.25)
    flux = light(source, phase, 4400.0)
    first = phase[np.flatnonzero(flux > 0.02 * flux.max())[0]]
    assert -22 < first < -10


def test_a_plateau_holds_for_eighty_days_and_then_falls():
    source = draw("IIP")
    early, late, after = light(source, [30.0, 75.0, 160.0], 6500.0)
    assert 2.5 * np.log10(early / late) < 1.0
    assert 2.5 * np.log10(late / after) > 1.0


def test_kilonovae_fade_in_days_and_super_luminous_supernovae_in_months():
    assert decline(draw("KN"), 4.0) > 2.0
    assert decline(draw("SLSN"), 4.0) < 0.2
    assert decline(draw("SLSN"), 100.0) > 1.0
