"""Cadence, noise, host galaxies, catalogues."""

import numpy as np
import pytest

from armillary.domains.transients.extinction import extinction_coefficient
from armillary.domains.transients.simulation import DES, LSST, ZTF, simulate_object, simulate_objects
from armillary.domains.transients.simulation.cadence import (
    LUNATION,
    Visits,
    des_supernova,
    lsst_deep,
    lsst_wide,
    moonlight,
    ztf_public,
)
from armillary.domains.transients.simulation.host import draw_host_redshift, draw_position, galactic_latitude
from armillary.domains.transients.simulation.observe import observe
from armillary.domains.transients.simulation.source import flux_from_magnitude
from armillary.domains.transients.simulation.spectra import dust_transmission, planck
from armillary.domains.transients.simulation.stellar import Star

SURVEYS = {"lsst": LSST, "ztf": ZTF, "des": DES}
every_survey = pytest.mark.parametrize("survey", SURVEYS.values(), ids=SURVEYS)


class Constant:
    """A new source of constant magnitude on top of a star."""

    redshift = 0.0

    def __init__(self, magnitude, star=None):
        self.magnitude, self.star = magnitude, star

    def flux(self, time, wavelength):
        return np.full(len(time), float(flux_from_magnitude(self.magnitude)))

    def quiescent(self, wavelength):
        return self.star.flux(wavelength) if self.star else np.zeros(len(wavelength))


def visits(number, depth=24.0):
    return Visits(np.arange(number, dtype=float), np.full(number, 2), np.full(number, depth))


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("cadence", "years", "low", "high", "bands"),
    [
        (lsst_wide, 3, 90, 180, 6),
        (lsst_deep, 3, 220, 420, 6),
        (ztf_public, 3, 200, 500, 2),
        (des_supernova, 1, 40, 130, 4),
    ],
)
def test_a_cadence_has_the_surveys_number_of_visits_in_order_in_all_bands(cadence, years, low, high, bands):
    counts = []
    for seed in range(10):
        drawn = cadence(rng(seed), 59580.0, years)
        assert (np.diff(drawn.time) >= 0).all()
        assert set(np.unique(drawn.band)) <= set(range(bands))
        assert drawn.time.min() >= 59579.0
        assert drawn.time.max() <= 59580.0 + years * 365.25 + 2
        counts.append(len(drawn))
    assert low < np.median(counts) < high


def test_the_wide_survey_has_seasons_with_gaps_of_months():
    assert all(100 < np.diff(lsst_wide(rng(seed), 59580.0, 3).time).max() < 230 for seed in range(10))


def test_ultraviolet_is_taken_in_dark_time_and_moonlight_costs_depth():
    drawn = [lsst_wide(rng(seed), 59580.0, 3) for seed in range(40)]
    time, band, depth = (np.concatenate([getattr(d, n) for d in drawn]) for n in ("time", "band", "depth"))
    moon = moonlight(time)
    assert moon[band == 0].mean() < 0.4 < moon[band == 5].mean()
    assert depth[(band == 1) & (moon > 0.8)].mean() < depth[(band == 1) & (moon < 0.2)].mean() - 0.2
    assert moonlight(np.array([100.0]))[0] == pytest.approx(moonlight(np.array([100.0 + LUNATION]))[0])


def test_the_noise_is_what_the_errors_say_and_the_depth_is_five_sigma():
    measured = observe(rng(), Constant(24.0), visits(4000), LSST.camera, 0.0)
    pull = (measured.flux - measured.true_flux) / measured.flux_error
    assert pull.std() == pytest.approx(1.0, abs=0.05)
    assert abs(pull.mean()) < 0.06
    assert measured.true_flux[0] / measured.flux_error[0] == pytest.approx(5.0, rel=0.02)
    assert measured.detected.mean() == pytest.approx(0.5, abs=0.05)


def test_a_bright_star_under_a_faint_source_adds_photon_noise():
    alone = observe(rng(), Constant(24.0), visits(1), LSST.camera, 0.0).flux_error[0]
    blended = observe(rng(), Constant(24.0, Star(17.0, 6000.0)), visits(1), LSST.camera, 0.0).flux_error[0]
    star = float(flux_from_magnitude(17.0))
    assert blended**2 - alone**2 == pytest.approx(star / LSST.camera.electrons, rel=1e-6)


def test_galactic_dust_dims_and_reddens():
    dimmed = observe(rng(), Constant(20.0), visits(1), LSST.camera, 0.3).true_flux[0] / flux_from_magnitude(20.0)
    coefficient = extinction_coefficient(np.array([6231.0]))[0]
    assert dimmed == pytest.approx(10 ** (-0.4 * 0.3 * coefficient))
    blue, red = dust_transmission(np.array([4000.0, 9000.0]), 1.0)
    assert blue < 10**-0.4 < red < 1


def test_a_black_body_peaks_where_wien_says_and_follows_rayleigh_and_jeans():
    wavelength = np.linspace(2000, 20000, 20000)
    assert wavelength[planck(wavelength, 6000.0).argmax()] == pytest.approx(5.0994e7 / 6000, rel=1e-3)
    hot = planck(np.array([1e6, 2e6]), 1e4)
    assert hot[0] / hot[1] == pytest.approx(4.0, rel=0.02)


def test_photometric_redshifts_scatter_as_their_errors_say_apart_from_outliers():
    hosts = [draw_host_redshift(rng(seed), 0.5) for seed in range(2000)]
    pull = np.array([(host.photometric - 0.5) / host.photometric_error for host in hosts])
    # Half of all objects lie within the normal's 54.3 % quantile when 8 % are outliers: 0.744 standard deviations.
    assert np.median(np.abs(pull)) == pytest.approx(0.744, abs=0.05)
    assert 0.01 < np.mean(np.abs([host.photometric - 0.5 for host in hosts]) > 0.3) < 0.1
    assert draw_host_redshift(rng(), 0.0).photometric == 0


def test_the_galactic_latitude_agrees_with_astropy():
    from astropy.coordinates import SkyCoord

    for seed in range(5):
        place = draw_position(rng(seed), (-60.0, 60.0))
        expected = SkyCoord(place.ra, place.dec, unit="deg").galactic.b.deg
        assert galactic_latitude(place.ra, place.dec) == pytest.approx(expected, abs=1e-4)
        assert abs(place.latitude) >= 12
        assert 0 < place.mwebv < 1


@every_survey
def test_an_object_does_not_depend_on_how_many_there_are(survey):
    few, many = simulate_objects(survey, 5, 3), simulate_objects(survey, 5, 6)
    for one, other in zip(few, many, strict=False):
        assert one.label == other.label
        np.testing.assert_array_equal(one.measured.flux, other.measured.flux)
    assert not np.array_equal(few[0].measured.flux, simulate_object(survey, 6, 0).measured.flux)


@every_survey
def test_every_class_can_be_found_and_is_finite(survey):
    for label in survey.labels:
        item = simulate_object(survey, 1, 0, label)
        measured = item.measured
        assert item.label == label
        assert survey.found(measured)
        assert np.isfinite(measured.flux).all()
        assert (measured.flux_error > 0).all()
        np.testing.assert_array_equal(measured.detected, np.abs(measured.flux) >= 5 * measured.flux_error)


def test_the_class_mix_follows_the_shares():
    labels = [item.label for item in simulate_objects(LSST, 0, 300)]
    assert labels.count("90") / 300 == pytest.approx(0.295, abs=0.08)
    assert labels.count("42") > labels.count("62")


def test_galactic_objects_have_redshift_zero_and_others_do_not():
    galactic = {"6", "16", "53", "65", "92"}
    for label in LSST.labels:
        item = simulate_object(LSST, 2, 0, label)
        assert (item.source.redshift == 0) == (label in galactic)
        assert (item.host.photometric == 0) == (label in galactic)


def test_fainter_limits_reach_further_and_bright_surveys_stay_near():
    far = [simulate_object(LSST, 3, i, "90").source.redshift for i in range(15)]
    near = [simulate_object(ZTF, 3, i, "SN Ia").source.redshift for i in range(15)]
    assert np.median(far) > 3 * np.median(near)
    assert max(near) < 0.2
