"""What a physicist checks in simulated variable objects: periods, amplitudes, variances, magnifications."""

from dataclasses import replace

import numpy as np
import pytest

from armillary.domains.transients.simulation.agn import ActiveNucleus, damped_random_walk, draw_agn
from armillary.domains.transients.simulation.flares import FlareStar, draw_flare_star
from armillary.domains.transients.simulation.microlensing import Microlens, draw_microlens, magnification
from armillary.domains.transients.simulation.periodic import (
    EclipsingBinary,
    Pulsator,
    draw_eclipsing_binary,
    draw_mira,
    draw_rr_lyrae,
)
from armillary.domains.transients.simulation.population import Scene
from armillary.domains.transients.simulation.stellar import Star

SCENE = Scene(59580.0, 60675.0, 23.0)
STAR = Star(18.0, 6000.0)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("draw", [draw_rr_lyrae, draw_mira, draw_eclipsing_binary])
def test_periodic_stars_repeat_after_one_period(draw):
    source = draw(rng(), SCENE)
    time = SCENE.start + rng(1).uniform(0, 1000, 300)
    wavelength = np.full(300, 6231.0)
    shifted = source.flux(time + source.period, wavelength)
    np.testing.assert_allclose(shifted, source.flux(time, wavelength), rtol=1e-4, atol=1e-3)


def test_periods_and_amplitudes_are_those_of_the_classes():
    lyrae = [draw_rr_lyrae(rng(seed), SCENE) for seed in range(50)]
    miras = [draw_mira(rng(seed), SCENE) for seed in range(50)]
    assert all(0.25 <= star.period <= 0.85 for star in lyrae)
    assert 250 < np.median([star.period for star in miras]) < 350
    assert min(star.amplitude for star in miras) > 3 > max(star.amplitude for star in lyrae)


def test_a_pulsator_swings_by_its_amplitude_and_less_in_the_red():
    star = Pulsator(STAR, period=0.5, phase=0.0, amplitude=1.0, amplitude_slope=-0.9, rise=0.2)
    time = np.linspace(0, 0.5, 2001)
    swings = []
    for wavelength in (4800.0, 8690.0):
        at = np.full_like(time, wavelength)
        total = star.flux(time, at) + star.quiescent(at)
        swings.append(2.5 * np.log10(total.max() / total.min()))
    assert swings[0] == pytest.approx(1.0, abs=1e-3)
    assert swings[1] == pytest.approx((8690 / 4800) ** -0.9, abs=1e-3)


def test_an_rr_lyrae_rises_faster_than_it_falls():
    star = Pulsator(STAR, period=1.0, phase=0.0, amplitude=1.0, amplitude_slope=-0.9, rise=0.2)
    flux = star.flux(np.linspace(0, 1, 1000, endpoint=False), np.full(1000, 4800.0))
    assert flux.argmin() == 0
    assert flux.argmax() == pytest.approx(200, abs=1)


def test_eclipses_only_take_light_and_the_deeper_one_is_the_primary():
    binary = EclipsingBinary(STAR, period=2.0, phase=0.0, depths=(0.5, 0.2), width=0.1)
    flux = binary.flux(np.array([0.0, 0.5, 1.0]), np.full(3, 4800.0)) / binary.quiescent(np.full(3, 4800.0))
    np.testing.assert_allclose(flux, [-0.5, 0.0, -0.2])
    drawn = draw_eclipsing_binary(rng(), SCENE)
    assert (drawn.flux(np.linspace(0, 50, 500), np.full(500, 9736.0)) <= 0).all()


def test_the_damped_random_walk_has_its_variance_and_structure_function():
    walks = np.stack([damped_random_walk(rng(seed), 400, 5.0, 100.0, 0.2) for seed in range(400)])
    assert walks.std() == pytest.approx(0.2, rel=0.05)
    assert walks[:, 0].std() == pytest.approx(0.2, rel=0.1)  # stationary from the first step
    for lag in (1, 10, 40):
        structure = np.sqrt(np.mean((walks[:, lag:] - walks[:, :-lag]) ** 2))
        expected = 0.2 * np.sqrt(2 * (1 - np.exp(-lag * 5.0 / 100.0)))  # MacLeod et al. 2010, eq. 3
        assert structure == pytest.approx(expected, rel=0.06)


def test_active_nuclei_vary_together_in_all_bands_and_most_in_the_blue():
    source = draw_agn(rng(), SCENE)
    time = np.linspace(SCENE.start, SCENE.end - 1, 300)
    relative = []
    for wavelength in (3685.0, 9736.0):
        at = np.full(300, wavelength)
        relative.append(2.5 * np.log10(1 + source.flux(time, at) / source.quiescent(at)))
    assert np.corrcoef(relative[0], relative[1])[0, 1] > 0.999
    assert relative[0].std() / relative[1].std() == pytest.approx((3685 / 9736) ** -0.48, rel=1e-6)


def test_a_flat_path_gives_no_variability():
    source = ActiveNucleus(0.5, 20.0, 0.4, SCENE.start, 1.0, np.zeros(1100))
    assert not source.flux(np.linspace(SCENE.start, SCENE.end, 50), np.full(50, 6231.0)).any()


def test_magnification_is_paczynskis():
    assert magnification(np.array([1.0]))[0] == pytest.approx(3 / np.sqrt(5))
    assert magnification(np.array([0.01]))[0] == pytest.approx(100.0, rel=1e-3)
    assert magnification(np.array([50.0]))[0] == pytest.approx(1.0, abs=1e-5)


def test_a_lens_magnifies_symmetrically_in_time_and_equally_in_all_colours():
    lens = Microlens(STAR, peak_time=60000.0, einstein_time=30.0, smallest_separation=0.2, blend=1.0)
    at = np.array([3685.0, 9736.0])
    share = lens.flux(np.full(2, 60000.0), at) / lens.quiescent(at)
    np.testing.assert_allclose(share, magnification(np.array([0.2]))[0] - 1)
    sides = lens.flux(np.array([59980.0, 60020.0]), np.full(2, 6231.0))
    assert sides[0] == pytest.approx(sides[1])
    half = replace(lens, blend=0.5).flux(np.full(2, 60000.0), at)
    np.testing.assert_allclose(half, 0.5 * lens.flux(np.full(2, 60000.0), at))
    assert draw_microlens(rng(), SCENE).redshift == 0


def test_a_flare_starts_at_once_fades_in_hours_and_is_blue():
    star = FlareStar(Star(19.0, 3000.0), np.array([60000.0]), np.array([0.02]), np.array([100.0]))
    flux = star.flux(np.array([59999.99, 60000.0, 60000.1, 60003.0]), np.full(4, 3685.0))
    assert flux[0] == 0
    assert flux[1] == pytest.approx(100.0)
    assert flux[2] < 0.2 * flux[1]
    assert flux[3] < 1e-3
    red = star.flux(np.array([60000.0]), np.array([9736.0]))[0]
    quiet = star.quiescent(np.array([3685.0, 9736.0]))
    assert flux[1] / quiet[0] > 100 * red / quiet[1]


def test_most_nights_of_a_flare_star_are_quiet():
    star = draw_flare_star(rng(3), SCENE)
    flux = star.flux(np.sort(rng(1).uniform(SCENE.start, SCENE.end, 2000)), np.full(2000, 3685.0))
    assert (flux < 0.05 * star.peaks.min()).mean() > 0.8
