"""Thresholds of the best Dice."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from armillary.domains.medical.mask_thresholds import best_thresholds, dice_curve, threshold_grid

GRID = threshold_grid(torch.device("cpu"))


@settings(max_examples=25)
@given(st.integers(0, 1000), st.sampled_from([(7,), (5, 6), (2, 3, 4)]))
def test_the_curve_is_the_dice_of_every_threshold(seed, size):
    generator = torch.Generator().manual_seed(seed)
    probability = torch.rand(2, 3, *size, generator=generator)
    probability[0, 0].flatten()[:2] = GRID[4]  # on a threshold: it counts
    truth = (torch.rand(2, 3, *size, generator=generator) < 0.4).float()
    truth[torch.rand(2, 3, *size, generator=generator) < 0.1] = float("nan")
    curve = dice_curve(probability, truth)
    known, true = truth.isfinite(), truth > 0
    for index, threshold in enumerate(GRID):
        found = (probability >= threshold) & known
        shared = (found & true).flatten(2).sum(2)
        dice = 2 * shared / (found.flatten(2).sum(2) + true.flatten(2).sum(2))
        drawn = true.flatten(2).any(2)
        assert_close(curve[..., index], torch.where(drawn, dice, float("nan")), equal_nan=True)


def test_places_outside_an_image_do_not_count():
    probability, truth = torch.rand(1, 1, 6, 6), (torch.rand(1, 1, 6, 6) < 0.5).float()
    inside = torch.zeros(1, 1, 6, 6, dtype=torch.bool)
    inside[..., :4, :5] = True
    assert_close(dice_curve(probability, truth, inside), dice_curve(probability[..., :4, :5], truth[..., :4, :5]))


@pytest.mark.parametrize("wanted", [0.15, 0.5, 0.8])
def test_the_threshold_that_splits_truth_from_the_rest_is_found(wanted):
    probability = torch.linspace(0, 1, 1001).reshape(1, 1, -1)
    truth = (probability >= wanted - 1e-6).float()
    assert best_thresholds([dice_curve(probability, truth)]).item() == pytest.approx(wanted)


def test_of_equally_good_thresholds_the_one_nearest_to_half_is_taken():
    probability = torch.tensor([[[0.01, 0.99]]])
    assert best_thresholds([dice_curve(probability, torch.tensor([[[0.0, 1.0]]]))]).item() == 0.5


def test_a_structure_that_no_item_has_keeps_half_and_items_without_it_do_not_count():
    probability = torch.linspace(0, 1, 101).expand(2, 2, 101).contiguous()
    truth = torch.zeros(2, 2, 101)
    truth[0, 0] = (probability[0, 0] >= 0.29999).float()
    found = best_thresholds([dice_curve(probability[:1], truth[:1]), dice_curve(probability[1:], truth[1:])])
    assert_close(found, torch.tensor([0.3, 0.5]))
