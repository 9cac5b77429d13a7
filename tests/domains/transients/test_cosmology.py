"""Distances against astropy and against their definitions."""

import numpy as np
import pytest
from astropy.cosmology import FlatLambdaCDM

from armillary.domains.transients.cosmology import (
    distance_modulus,
    log_comoving_distance,
    log_luminosity_distance,
    redshift_at_modulus,
    redshift_in_volume,
)

REDSHIFTS = np.array([0.003, 0.05, 0.37, 1.0, 2.4, 7.0])


def test_distances_agree_with_astropy():
    cosmology = FlatLambdaCDM(H0=70, Om0=0.3)
    expected = np.log(cosmology.luminosity_distance(REDSHIFTS).to_value("Mpc"))
    np.testing.assert_allclose(log_luminosity_distance(REDSHIFTS), expected, atol=1e-5)
    assert distance_modulus(0.37) == pytest.approx(cosmology.distmod(0.37).value, abs=1e-4)


def test_the_luminosity_distance_is_the_comoving_one_times_one_plus_z():
    difference = log_luminosity_distance(REDSHIFTS) - log_comoving_distance(REDSHIFTS)
    np.testing.assert_allclose(difference, np.log1p(REDSHIFTS))


@pytest.mark.parametrize("redshift", [0.01, 0.3, 1.7])
def test_the_redshift_of_a_modulus_is_the_inverse_of_the_modulus(redshift):
    assert redshift_at_modulus(distance_modulus(redshift)) == pytest.approx(redshift, rel=1e-3)


def test_an_eighth_of_the_volume_lies_inside_half_the_distance():
    inner = redshift_in_volume(0.125, 1.0)
    distances = np.exp(log_comoving_distance(np.array([inner, 1.0])))
    assert distances[0] == pytest.approx(0.5 * distances[1], rel=1e-3)
    assert redshift_in_volume(1.0, 1.0) == pytest.approx(1.0, rel=1e-4)
