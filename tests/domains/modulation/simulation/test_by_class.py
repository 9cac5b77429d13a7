"""Frames to make are taken class by class, each once, and only of classes that there are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary.domains.modulation.simulation.by_class import by_class


@given(st.lists(st.integers(0, 2), max_size=40))
def test_every_frame_comes_once_with_its_class(places):
    place = np.array(places, np.int64)
    found = list(by_class(place, ("a", "b", "c")))
    assert sorted(row for _, rows in found for row in rows) == list(range(len(place)))
    assert all("abc"[place[row]] == name for name, rows in found for row in rows)


def test_many_frames_of_a_class_come_in_parts():
    assert [len(rows) for _, rows in by_class(np.zeros(1100, np.int64), ("a",))] == [512, 512, 76]


@pytest.mark.parametrize("place", [-1, 3])
def test_a_place_that_is_no_class_is_refused(place):
    with pytest.raises(ValueError, match=r"expected 0 to 2"):
        list(by_class(np.array([0, place]), ("a", "b", "c")))
