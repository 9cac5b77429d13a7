"""Images at other sizes: flat stays flat, thin lines fade instead of vanishing, masks stay 0 and 1."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armillary.domains.medical.resize import resize, resize_mask

FEW = settings(max_examples=30)
SIZES = st.integers(2, 23)


@FEW
@given(st.lists(SIZES, min_size=2, max_size=3), st.data())
def test_an_even_image_stays_even_at_any_size(size: list[int], data: st.DataObject):
    other = data.draw(st.lists(SIZES, min_size=len(size), max_size=len(size)))
    changed = resize(np.full((2, *size), 0.25, np.float32), other)
    assert (changed.shape, changed.dtype) == ((2, *other), np.float32)
    np.testing.assert_allclose(changed, 0.25, atol=1e-5)


@FEW
@given(st.lists(SIZES, min_size=2, max_size=3), st.integers(2, 4))
def test_masks_grow_by_whole_factors_as_if_repeated(size: list[int], factor: int):
    mask = (np.random.default_rng(0).random((2, *size)) > 0.5).astype(np.float32)
    repeated = mask
    for axis in range(1, mask.ndim):
        repeated = repeated.repeat(factor, axis)
    large = resize_mask(mask, [factor * n for n in size])
    np.testing.assert_array_equal(large, repeated)
    np.testing.assert_array_equal(resize_mask(large, size), mask)


def test_shrinking_averages_so_that_nothing_aliases():
    stripes = np.tile(np.array([0, 1], np.float32), (1, 64, 32))
    assert np.abs(resize(stripes, (16, 16))[0, 2:-2, 2:-2] - 0.5).max() < 0.02


def test_a_volume_is_resized_along_every_axis():
    ramp = np.linspace(0, 1, 16, dtype=np.float32)
    for axis in range(3):
        volume = np.moveaxis(np.broadcast_to(ramp, (8, 8, 16)), -1, axis)[None].copy()
        size = [8, 8, 8]
        small = np.moveaxis(resize(volume, size)[0], axis, -1)
        np.testing.assert_allclose(small[4, 4], ramp.reshape(8, 2).mean(1), atol=0.02)


def test_a_box_takes_a_part():
    image = np.random.default_rng(0).random((1, 12, 14)).astype(np.float32)
    np.testing.assert_allclose(resize(image, (4, 6), [(2.0, 6.0), (3.0, 9.0)]), image[:, 2:6, 3:9], atol=1e-6)
    np.testing.assert_array_equal(resize_mask(image, (4, 6), [(2.0, 6.0), (3.0, 9.0)]), image[:, 2:6, 3:9])
    volume = np.random.default_rng(0).random((1, 5, 12, 14)).astype(np.float32)
    box = [(1.0, 4.0), (2.0, 6.0), (3.0, 9.0)]
    np.testing.assert_allclose(resize(volume, (3, 4, 6), box), volume[:, 1:4, 2:6, 3:9], atol=1e-6)


def test_overshoot_is_cut_off():
    edge = np.zeros((1, 10, 10), np.float32)
    edge[..., 5:] = 1
    large = resize(edge, (33, 33))
    assert large.min() == 0
    assert large.max() == 1


@pytest.mark.parametrize("size", [(10, 12), (5, 10, 12)])
def test_the_same_size_is_the_same_image(size: tuple[int, ...]):
    image = np.random.default_rng(0).random((1, *size)).astype(np.float32)
    assert resize(image, size) is image
    assert resize_mask(image, size) is image
