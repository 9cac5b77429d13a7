"""Dice, IoU and the distance of outlines: identities, empty masks, unlabelled places, millimetres."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from armillary.domains.medical.mask_scores import mask_scores

NAN = float("nan")


def square(row: int, column: int, side: int = 4, size: tuple[int, ...] = (16, 16)) -> Tensor:
    mask = torch.zeros(1, 1, *size, dtype=torch.bool)
    mask[..., row : row + side, column : column + side] = True
    return mask


def scored(mask: Tensor, truth: Tensor, *rest: Tensor | None) -> dict[str, float]:
    return {name: value[0, 0].item() for name, value in mask_scores(mask, truth, *rest).items()}


def test_a_perfect_mask_has_dice_and_iou_one_and_no_distance():
    assert scored(square(3, 3), square(3, 3).float()) == {"dice": 1, "iou": 1, "hd95": 0}


def test_a_mask_beside_the_truth_has_no_overlap_and_the_distance_of_the_shift():
    found = scored(square(0, 0), square(0, 8).float())
    assert found == {"dice": 0, "iou": 0, "hd95": 8}


def test_half_a_mask_by_hand():
    # 16 places each, 8 shared: 2 * 8 / 32 and 8 / 24.
    found = scored(square(0, 0), square(0, 2).float())
    assert found["dice"] == pytest.approx(0.5)
    assert found["iou"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(("mask", "truth"), [(0, 0), (4, 0), (0, 4)])
def test_scores_of_empty_masks(mask, truth):
    found = scored(square(2, 2, mask), square(2, 2, truth).float())
    assert torch.tensor(found["hd95"]).isnan()
    for name in ("dice", "iou"):
        assert found[name] == pytest.approx(NAN if mask == truth == 0 else 0.0, nan_ok=True)


@settings(max_examples=8)
@given(st.integers(0, 1000))
def test_swapping_mask_and_truth_changes_nothing(seed):
    masks = torch.rand(2, 2, 3, 9, 7, generator=torch.Generator().manual_seed(seed)) < 0.2
    one, two = mask_scores(masks[0], masks[1].float()), mask_scores(masks[1], masks[0].float())
    for name in one:
        assert_close(one[name], two[name], equal_nan=True)
    assert_close(one["iou"], one["dice"] / (2 - one["dice"]), equal_nan=True)


def test_the_distance_is_in_millimetres_where_every_spacing_is_known():
    mask, truth = square(0, 0), square(0, 8).float()
    assert scored(mask, truth, torch.tensor([[3.0, 0.5]]))["hd95"] == pytest.approx(4)
    for unknown in ([NAN, 0.5], [0.0, 0.5], [NAN, NAN]):
        assert scored(mask, truth, torch.tensor([unknown]))["hd95"] == pytest.approx(8)


def test_items_have_their_own_spacing():
    mask, truth = square(0, 0).expand(2, 1, 16, 16), square(0, 8).float().expand(2, 1, 16, 16)
    found = mask_scores(mask, truth, torch.tensor([[1.0, 1.0], [2.0, 2.0]]))
    assert_close(found["hd95"], torch.tensor([[8.0], [16.0]]))


def test_a_volume_is_measured_along_all_three_axes():
    mask = torch.zeros(1, 1, 8, 8, 8, dtype=torch.bool)
    truth = torch.zeros(1, 1, 8, 8, 8)
    mask[..., 1:3, 2:5, 2:5] = True
    truth[..., 4:6, 2:5, 2:5] = 1
    found = scored(mask, truth, torch.tensor([[5.0, 1.0, 1.0]]))
    assert found["dice"] == 0
    assert found["hd95"] == pytest.approx(15)


def test_unlabelled_places_and_places_outside_count_in_neither_mask():
    mask, truth = square(0, 0), square(0, 2).float()
    unlabelled = truth.clone()
    unlabelled[..., 4:6] = NAN
    inside = torch.ones(1, 1, 16, 16, dtype=torch.bool)
    inside[..., 4:6] = False
    for found in (scored(mask, unlabelled), scored(mask, truth, None, inside)):
        assert found["dice"] == pytest.approx(2 * 8 / 24)
        assert found["iou"] == pytest.approx(0.5)


def test_a_structure_that_nobody_drew_has_no_scores_and_leaves_the_others_alone():
    mask = square(1, 1).expand(1, 2, 16, 16)
    truth = torch.cat((torch.full((1, 1, 16, 16), NAN), square(1, 1).float()), dim=1)
    for name, value in mask_scores(mask, truth).items():
        assert value[0, 0].isnan()
        assert value[0, 1] == (0 if name == "hd95" else 1)
