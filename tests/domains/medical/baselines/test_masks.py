"""Baselines of masks: the mean of the others, and what is bright."""

import numpy as np
import pytest

from armillary.domains.medical.baselines.atlas import AtlasBaseline
from armillary.domains.medical.baselines.brightness import BrightnessBaseline, Look
from armillary.domains.medical.metrics import metrics
from armillary.domains.medical.settings import MedicalRun

SIZES = ((32, 40), (48, 30))


def dice(config: MedicalRun, records) -> float:
    return metrics(config)["dice_disc"].value(records, np.ones(records.sizes["item"]))


@pytest.mark.parametrize("kind", [AtlasBaseline, BrightnessBaseline])
def test_a_disc_near_the_middle_is_found_in_images_of_any_size(kind, masks: MedicalRun, discs):
    baseline = kind(masks)
    baseline.fit(discs(6, 0, SIZES), discs(4, 1, SIZES))
    records = baseline.predict(discs(4, 2, SIZES))
    assert dice(masks, records) > 0.8
    assert records["dice"].dims == ("item", "structure")
    assert records["item"].values.tolist() == [f"image {number}" for number in range(4)]
    # The second was never drawn, so that nothing is known of it.
    assert np.isnan(records["dice"].values[:, 1]).all()
    assert np.isfinite(metrics(masks)["dice"].value(records, np.ones(4)))


@pytest.mark.parametrize("dark", [False, True])
def test_what_is_dark_is_found_as_well_as_what_is_bright(dark: bool, masks: MedicalRun, discs):
    baseline = BrightnessBaseline(masks)
    baseline.fit(discs(4, 0, dark=dark), discs(3, 1, dark=dark))
    assert dice(masks, baseline.predict(discs(3, 2, dark=dark))) > 0.9


def test_contrast_and_brightness_of_an_image_do_not_matter():
    image = np.random.default_rng(0).random((1, 20, 30)).astype(np.float32)
    for look in (Look(), Look(local=True), Look(dark=True)):
        np.testing.assert_allclose(look(image * 0.2 + 0.4), look(image), atol=1e-5)
    np.testing.assert_allclose(Look(dark=True)(image), 1 - Look()(image), atol=1e-6)
    assert (Look()(np.full((1, 4, 4), 0.3, np.float32)) == 0.5).all()


def test_a_slow_change_of_brightness_goes_with_the_local_mean(masks: MedicalRun, pictures):
    def sloped(count: int):
        """Spots on a steep slope: no one threshold finds them without the local mean."""
        row, column = np.mgrid[:160, :160]
        spots = [(((row + number) % 20 < 4) & (column % 20 < 4)).astype(np.float32) for number in range(count)]
        images = [(row / 8 + 2 * spot)[None].astype(np.float32) for spot in spots]
        return pictures(images, masks=[np.stack([spot, np.full_like(spot, np.nan)]) for spot in spots])

    baseline = BrightnessBaseline(masks)
    baseline.fit(sloped(2), sloped(3))
    assert dice(masks, baseline.predict(sloped(4))) > 0.85


def test_the_atlas_is_the_mean_of_what_was_drawn(masks: MedicalRun, pictures):
    drawn = [np.full((2, 8, 8), part, np.float32) for part in (0.0, 1.0, 1.0, np.nan)]
    items = pictures([np.zeros((1, 8, 8), np.float32)] * 4, masks=drawn)
    baseline = AtlasBaseline(masks)
    baseline.fit(items, items)
    np.testing.assert_allclose(baseline._guess(items[(0, 0)]), 2 / 3, rtol=1e-6)


@pytest.mark.parametrize("kind", [AtlasBaseline, BrightnessBaseline])
def test_what_is_not_fitted_or_has_nothing_to_learn_from_says_so(kind, masks: MedicalRun, discs, pictures):
    with pytest.raises(ValueError, match=r"not fitted: call fit\(train, validation\) before predict"):
        kind(masks).predict(discs(1, 0))
    with pytest.raises(ValueError, match="training images with masks, got none"):
        kind(masks).fit(pictures([]), discs(1, 0))
