"""Operations of RandAugment: each by hand on a small image, and how two of them are drawn."""

import numpy as np
import pytest

from armillary.domains.medical.augment import geometry, photometry
from armillary.domains.medical.augment.randaugment import MOVES, OPERATIONS, choose
from armillary.domains.medical.settings import AugmentSettings

RAMP = np.linspace(0, 1, 16, dtype=np.float32).reshape(1, 4, 4)


@pytest.mark.parametrize("strength", [-1.0, -0.6, 0.0, 0.6, 1.0])
@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_keep_shape_type_and_range(name: str, strength: float):
    for image in (RAMP, np.zeros((2, 3, 4, 4), np.float32), np.ones((1, 4, 4), np.float32)):
        changed = OPERATIONS[name](image, strength)
        assert (changed.shape, changed.dtype) == (image.shape, np.float32)
        assert 0 <= changed.min() <= changed.max() <= 1


@pytest.mark.parametrize("name", ["contrast", "brightness", "sharpness", "posterise", "solarise"])
def test_no_strength_is_hardly_a_change(name: str):
    changed = OPERATIONS[name](RAMP, 0.0)
    assert np.abs(changed - RAMP)[0, :-1].max() < 0.005


def test_values_worked_by_hand():
    np.testing.assert_allclose(photometry.stretched(RAMP * 0.5 + 0.2), RAMP, atol=1e-6)
    np.testing.assert_allclose(photometry.equalised(RAMP**3), RAMP, atol=0.07)
    np.testing.assert_allclose(photometry.solarised(RAMP, 0.5), np.minimum(RAMP, 1 - RAMP), atol=1e-6)
    assert np.unique(photometry.posterised(np.linspace(0, 1, 99, dtype=np.float32)[None, None], 2)).size == 4
    np.testing.assert_allclose(photometry.more_contrast(RAMP, 2.0), 2 * RAMP - 0.5, atol=1e-6)
    middle = photometry.sharper(np.eye(5, dtype=np.float32)[None], 1.0)[0, 2, 2]
    assert middle == pytest.approx(2 - 3 / 9)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("translate_rows", [2, 1]), ("translate_columns", [1, 2])],
)
def test_moves_go_down_and_to_the_right(name: str, expected: list[int]):
    image = np.zeros((1, 4, 4), np.float32)
    image[0, 1, 1] = 1
    step = MOVES[name](1 / (4 * 0.3), image.shape[1:])
    assert step is not None
    moved = geometry.moved(image, step, order=1)
    assert np.argwhere(moved[0] > 0.99).tolist() == [expected]


def test_two_operations_are_drawn_about_the_magnitude():
    settings = AugmentSettings(magnitude=6, magnitude_std=0.5)
    drawn = [choose(settings, np.random.default_rng(seed)) for seed in range(400)]
    strengths = np.array([strength for pair in drawn for _, strength in pair])
    assert {len(pair) for pair in drawn} == {2}
    assert {name for pair in drawn for name, _ in pair} == {*MOVES, *OPERATIONS}
    assert np.abs(strengths).mean() == pytest.approx(0.6, abs=0.01)
    assert np.abs(strengths).std() == pytest.approx(0.05, abs=0.01)
    assert abs((strengths > 0).mean() - 0.5) < 0.06
