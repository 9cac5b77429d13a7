"""Eyes, moles and volumes: functions of the seed, with truth that is seen in them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from armillary.domains.medical.simulation.lesion import draw_fundus, draw_skin
from armillary.domains.medical.simulation.volume import LIVER_HU, LUNG_HU, ORGANS, draw_volume


@settings(max_examples=15)
@given(st.integers(0, 30), st.sampled_from("LR"))
def test_vessels_are_thin_and_darker_than_what_is_beside_them(child, eye):
    one, other = draw_fundus(5, child, eye, 100), draw_fundus(5, child, eye, 100)
    assert_array_equal(one.image, other.image)
    assert 0.01 < one.mask.mean() < 0.2
    green = one.image[1]
    assert green[one.mask].mean() < green[one.field & ~one.mask].mean() - 0.03
    assert not (one.mask & ~one.field).any()


def test_the_second_observer_agrees_in_part():
    agreements = []
    for child in range(8):
        phantom = draw_fundus(0, child, "L", 120)
        agreements.append(2 * (phantom.mask & phantom.second).sum() / (phantom.mask.sum() + phantom.second.sum()))
    assert 0.5 < np.mean(agreements) < 0.95


def test_the_two_eyes_are_turned_to_each_other():
    left, right = (draw_fundus(0, 1, eye, 100).image[2] for eye in "LR")
    assert left.sum(0).argmax() < 50 < right.sum(0).argmax()


@settings(max_examples=25)
@given(st.integers(0, 50))
def test_a_mole_is_darker_than_the_skin(index):
    phantom = draw_skin(0, index, 48)
    assert 0.02 < phantom.mask.mean() < 0.6
    assert phantom.image[0][phantom.mask].mean() < phantom.image[0][~phantom.mask].mean() - 0.1


@pytest.mark.parametrize("shape", [(28, 28, 28), (20, 41, 48)])
def test_a_volume_has_its_organs_at_their_densities(shape):
    volume = draw_volume(0, 1, shape)
    assert volume.hounsfield.shape == shape
    assert set(volume.masks) == set(ORGANS)
    assert abs(np.median(volume.hounsfield[volume.masks["lungs"]]) - LUNG_HU) < 90
    assert abs(np.median(volume.hounsfield[volume.masks["liver"]]) - LIVER_HU) < 60
    assert all(step > 0 for step in volume.spacing_mm)


def test_every_second_volume_has_a_nodule_inside_the_chest():
    for index in range(6):
        volume = draw_volume(1, index, (28, 28, 28))
        assert volume.masks["nodule"].any() == bool(index % 2)
        assert not (volume.masks["nodule"] & volume.masks["lungs"]).any()
