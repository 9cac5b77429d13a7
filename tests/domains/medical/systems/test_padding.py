"""Any size to a multiple, and back."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from armillary.domains.medical.systems.padding import cut, padded


@given(st.lists(st.integers(1, 20), min_size=2, max_size=3), st.integers(1, 8), st.integers(1, 30))
def test_cutting_brings_back_what_was_padded(size, multiple, least):
    image = torch.rand(1, 2, *size) + 1
    found = padded(image, (multiple,) * len(size), least)
    assert (cut(found, size) == image).all()
    assert found.sum() == image.sum() or torch.isclose(found.sum(), image.sum())
    for extent, side in zip(found.shape[2:], size, strict=True):
        assert extent >= max(least, side)
        assert extent % multiple == 0 or extent == least


def test_an_image_that_fits_is_not_copied():
    image = torch.rand(1, 1, 16, 32)
    assert padded(image, (16, 16)) is image
