"""Images in few bytes: exact where they had 8 bits, and no more of them than the budget allows."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary.domains.medical.cache import ImageCache, pack

RNG = np.random.default_rng(0)
NO_MASK = np.zeros((0, 6, 7), np.bool_)


def test_eight_and_sixteen_bits_come_back_exactly():
    for dtype in (np.uint8, np.uint16):
        top = np.iinfo(dtype).max
        image = RNG.integers(0, top, (1, 6, 7), dtype).astype(np.float32) / np.float32(top)
        packed = pack(image, NO_MASK)
        assert packed.grey.dtype == dtype
        np.testing.assert_array_equal(packed.part()[0], image)


def test_other_values_come_back_to_sixteen_bits_and_stay_there():
    image = RNG.random((3, 6, 7)).astype(np.float32)
    once = pack(image, NO_MASK).part()[0]
    np.testing.assert_allclose(once, image, atol=1 / 131000)
    np.testing.assert_array_equal(pack(once, NO_MASK).part()[0], once)


def test_masks_come_back():
    mask = RNG.random((3, 6, 7)) > 0.5
    packed = pack(RNG.random((1, 6, 7)).astype(np.float32), mask)
    np.testing.assert_array_equal(packed.part()[1], mask)
    assert packed.nbytes == 6 * 7 * 2 + 3 * 6


@pytest.mark.parametrize("shape", [(9, 21), (5, 9, 21)])
@given(data=st.data())
def test_a_part_is_that_of_the_whole_and_black_beyond_it(shape: tuple[int, ...], data: st.DataObject):
    image, mask = RNG.random((2, *shape)).astype(np.float32), RNG.random((3, *shape)) > 0.5
    packed = pack(image, mask)
    start = [data.draw(st.integers(-5, n + 3)) for n in shape]
    size = [data.draw(st.integers(1, n + 6)) for n in shape]
    whole = [np.pad(one, [(0, 0), *[(30, 60)] * len(shape)]) for one in packed.part()]
    place = (slice(None), *(slice(30 + begin, 30 + begin + n) for begin, n in zip(start, size, strict=True)))
    for got, all_of_it in zip(packed.part(start, size), whole, strict=True):
        np.testing.assert_array_equal(got, all_of_it[place])


def test_the_budget_is_kept_and_copies_start_empty():
    packed = pack(RNG.random((1, 6, 7)).astype(np.float32), NO_MASK)
    cache = ImageCache(3 * packed.nbytes)
    for place in (4, 4, 5, 6, 7, 8):
        cache.put(place, packed)
    assert [cache.get(place) is packed for place in (4, 5, 6, 7)] == [True, True, True, False]
    copied = pickle.loads(pickle.dumps(cache))
    assert (len(cache), len(copied)) == (3, 0)
    copied.put(7, packed)
    assert copied.get(7) is packed
