"""Constellations of the 2018 classes."""

import numpy as np
import pytest

from armillary.domains.modulation.classes import RML2018
from armillary.domains.modulation.simulation.constellations import CONSTELLATIONS, cross

SIZES = {
    "OOK": 2, "4ASK": 4, "8ASK": 8, "BPSK": 2, "QPSK": 4, "8PSK": 8, "16PSK": 16, "32PSK": 32, "16APSK": 16,
    "32APSK": 32, "64APSK": 64, "128APSK": 128, "16QAM": 16, "32QAM": 32, "64QAM": 64, "128QAM": 128, "256QAM": 256,
}  # fmt: skip
every = pytest.mark.parametrize("name", CONSTELLATIONS)


def test_they_are_those_of_the_linear_classes():
    assert set(CONSTELLATIONS) == set(SIZES)
    assert set(CONSTELLATIONS) <= set(RML2018)


@every
def test_a_constellation_has_its_number_of_points_all_different(name: str):
    points = CONSTELLATIONS[name]
    assert len(points) == SIZES[name]
    distance = np.abs(points[:, None] - points[None, :]) + np.eye(len(points))
    assert distance.min() > 0.05


@every
def test_a_constellation_has_unit_mean_power(name: str):
    assert (np.abs(CONSTELLATIONS[name]) ** 2).mean() == pytest.approx(1, rel=1e-12)


@every
def test_a_constellation_is_a_mirror_image_of_itself(name: str):
    points = CONSTELLATIONS[name]
    assert np.abs(points[:, None] - points.conj()[None, :]).min(1).max() < 1e-12


@every
def test_only_amplitude_keying_has_a_mean(name: str):
    mean = abs(CONSTELLATIONS[name].mean())
    assert mean > 0.5 if name in ("OOK", "4ASK", "8ASK") else mean < 1e-12


@pytest.mark.parametrize(("bits", "side", "missing"), [(5, 6, 1), (7, 12, 4)])
def test_a_cross_is_a_square_without_its_corners(bits: int, side: int, missing: int):
    """32QAM lacks one point in each corner of 6 by 6, 128QAM two by two in each of 12 by 12."""
    points = cross(bits)
    levels = np.unique(np.round(points.real, 9))
    assert len(levels) == side
    assert len(points) == side**2 - 4 * missing
    step = levels[1] - levels[0]
    np.testing.assert_allclose(np.diff(levels), step, rtol=1e-6)


def test_rings_lie_at_their_radii():
    radii = np.unique(np.round(np.abs(CONSTELLATIONS["16APSK"]), 9))
    assert radii[1] / radii[0] == pytest.approx(2.85, rel=1e-6)
    assert len(np.unique(np.round(np.abs(CONSTELLATIONS["128APSK"]), 9))) == 5
