"""Changed training images: masks stay where their structure is, shapes and ranges hold, draws repeat themselves."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armillary.core.random import derive_rng
from armillary.domains.medical.augment import augment, reach
from armillary.domains.medical.augment.geometry import draw_box
from armillary.domains.medical.settings import AugmentSettings

FEW = settings(max_examples=12)
GEOMETRIC = {
    "crop": AugmentSettings(crop=(0.3, 0.9)),
    "flip": AugmentSettings(flip=True),
    "turn": AugmentSettings(turn=True),
    "rotate": AugmentSettings(rotate_deg=40),
    "scale": AugmentSettings(scale=0.3),
    "all": AugmentSettings(crop=(0.5, 1.0), flip=True, turn=True, rotate_deg=20, scale=0.2),
}
SHADES = {
    "brightness": AugmentSettings(brightness=1.0),
    "contrast": AugmentSettings(contrast=0.5),
    "randaugment": AugmentSettings(magnitude=6),
}


def drawn(seed: int) -> Callable[[str], np.random.Generator]:
    return lambda stream: derive_rng(seed, stream)


def blobs(size: tuple[int, ...]) -> np.ndarray:
    """A few smooth bodies without symmetry, black and white."""
    axes = np.meshgrid(*[np.linspace(0, 1, n) for n in size], indexing="ij")
    near = sum((axis - at) ** 2 for axis, at in zip(axes[-2:], (0.3, 0.6), strict=True)) < 0.05
    far = sum((axis - at) ** 2 for axis, at in zip(axes[-2:], (0.75, 0.3), strict=True)) < 0.02
    return (near | far).astype(np.float32)[None]


@pytest.mark.parametrize("size", [(40, 40), (40, 56), (6, 30, 30)])
@pytest.mark.parametrize("name", GEOMETRIC)
@FEW
@given(seed=st.integers(0, 10**6))
def test_a_mask_stays_on_the_image_it_is_equal_to(name: str, size: tuple[int, ...], seed: int):
    image = blobs(size)
    changed, mask = augment(image, image.copy(), size, GEOMETRIC[name], drawn(seed))
    assert changed.shape == mask.shape == image.shape
    assert set(np.unique(mask)) <= {0.0, 1.0}
    # They differ along edges alone, where the image is between black and white.
    wrong = ((changed > 0.9) & (mask == 0)) | ((changed < 0.1) & (mask == 1))
    assert wrong.mean() < 0.005


@pytest.mark.parametrize("name", [*GEOMETRIC, *SHADES])
@FEW
@given(seed=st.integers(0, 10**6))
def test_grey_values_stay_in_range_and_draws_repeat_themselves(name: str, seed: int):
    chosen = {**GEOMETRIC, **SHADES}[name]
    image = np.random.default_rng(seed).random((2, 24, 24)).astype(np.float32)
    mask = np.zeros((0, 24, 24), np.float32)
    once, again = (augment(image.copy(), mask, (24, 24), chosen, drawn(seed))[0] for _ in range(2))
    assert once.dtype == np.float32
    assert np.isfinite(once).all()
    assert 0 <= once.min() <= once.max() <= 1
    np.testing.assert_array_equal(once, again)


@pytest.mark.parametrize("name", [*GEOMETRIC, *SHADES])
def test_every_change_changes_something_and_leaves_its_input_alone(name: str):
    chosen = {**GEOMETRIC, **SHADES}[name]
    image, mask = blobs((32, 32)) * 0.6 + 0.2, blobs((32, 32))
    kept = image.copy()
    changed = [augment(image, mask, (32, 32), chosen, drawn(seed))[0] for seed in range(12)]
    assert any(not np.allclose(one, image, atol=1e-3) for one in changed)
    np.testing.assert_array_equal(image, kept)


def test_without_settings_nothing_changes():
    image = blobs((32, 32))
    changed, mask = augment(image, image, (32, 32), AugmentSettings(), drawn(0))
    np.testing.assert_array_equal(changed, image)
    np.testing.assert_array_equal(mask, image)


@pytest.mark.parametrize("size", [(32, 32), (4, 32, 32)])
def test_shades_leave_masks_alone(size: tuple[int, ...]):
    chosen = AugmentSettings(brightness=0.5, contrast=0.5)
    mask = blobs(size)
    np.testing.assert_array_equal(augment(mask * 0.5, mask, size, chosen, drawn(3))[1], mask)


def test_switching_one_change_on_leaves_the_draws_of_others_alone():
    image, mask = blobs((32, 32)), np.zeros((0, 32, 32), np.float32)
    for seed in range(8):
        flipped = augment(image, mask, (32, 32), AugmentSettings(flip=True), drawn(seed))[0]
        both = augment(image, mask, (32, 32), AugmentSettings(flip=True, contrast=0.01), drawn(seed))[0]
        np.testing.assert_allclose(flipped, both, atol=0.05)


def test_images_that_are_not_square_are_turned_by_halves():
    image = blobs((20, 30))
    for seed in range(10):
        turned = augment(image, image, (20, 30), AugmentSettings(turn=True), drawn(seed))[0]
        assert any(np.array_equal(turned, other) for other in (
            image, image[..., ::-1], image[..., ::-1, :], image[..., ::-1, ::-1],
        ))  # fmt: skip


@FEW
@given(st.integers(0, 10**6), st.sampled_from([(30, 50), (8, 30, 50)]))
def test_parts_lie_inside_and_cover_the_share_that_is_asked_for(seed: int, size: tuple[int, ...]):
    box = draw_box(size, (0.25, 0.64), np.random.default_rng(seed))
    sides = [stop - start for start, stop in box]
    assert all(0 <= start < stop <= n + 1e-9 for (start, stop), n in zip(box, size, strict=True))
    assert 0.25 - 1e-9 <= np.prod(sides) / np.prod(size) <= 0.64 + 1e-9


@FEW
@given(st.floats(0, 90), st.floats(0, 0.5))
def test_the_reach_of_a_part_fills_it_however_it_is_turned(rotate_deg: float, scale: float):
    size = (20, 28)
    large = reach(size, AugmentSettings(rotate_deg=rotate_deg, scale=scale))
    assert all((wide - own) % 2 == 0 for wide, own in zip(large, size, strict=True))
    corners = np.array([[r, c] for r in (-10, 10) for c in (-14, 14)]) / (1 - scale)
    for angle in np.radians(np.linspace(-rotate_deg, rotate_deg, 9)):
        turned = corners @ np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        assert np.all(np.abs(turned) <= np.array(large) / 2 + 1e-6)
