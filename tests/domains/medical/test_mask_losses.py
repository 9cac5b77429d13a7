"""Losses over known places."""

import math

import torch
from torch import Tensor
from torch.nn import functional
from torch.testing import assert_close

from armillary.domains.medical.mask_losses import dice_loss, entropy_loss


def drawn(*shape: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(shape, generator=generator, requires_grad=True)
    truth = (torch.rand(shape, generator=generator) < 0.3).float()
    return logits, truth, torch.rand(shape, generator=generator) < 0.7


def test_the_entropy_of_known_places_is_torchs():
    logits, truth, known = drawn(2, 3, 4, 5)
    expected = functional.binary_cross_entropy_with_logits(logits[known], truth[known])
    assert_close(entropy_loss(logits, truth.masked_fill(~known, math.nan), known), expected)


def test_the_dice_loss_is_that_of_the_formula():
    logits, truth, known = drawn(2, 3, 4, 5)
    p, y = logits.sigmoid() * known, truth * known
    each = [
        1 - (2 * (p[i, j] * y[i, j]).sum() + 1) / (p[i, j].sum() + y[i, j].sum() + 1)
        for i in range(2)
        for j in range(3)
    ]
    assert_close(dice_loss(logits, truth.masked_fill(~known, math.nan), known), torch.stack(each).mean())


def test_it_is_monais_with_the_same_ones():
    from monai.losses.dice import DiceLoss

    logits, truth, _ = drawn(2, 3, 40, 40)
    known = torch.ones_like(truth, dtype=torch.bool)
    peer = DiceLoss(sigmoid=True, smooth_nr=1.0, smooth_dr=1.0)(logits, truth)
    assert_close(dice_loss(logits, truth, known), peer)


def test_a_perfect_mask_costs_nothing_and_a_wrong_one_nearly_one():
    truth = torch.zeros(1, 1, 30, 30)
    truth[..., 5:20, 5:20] = 1
    known = torch.ones_like(truth, dtype=torch.bool)
    perfect, wrong = 40 * (2 * truth - 1), 40 * (1 - 2 * truth)
    assert dice_loss(perfect, truth, known) < 1e-6
    assert dice_loss(wrong, truth, known) > 0.99
    assert entropy_loss(perfect, truth, known) < 1e-6


def test_unlabelled_structures_and_items_change_neither_loss_nor_gradient():
    logits, truth, _ = drawn(3, 2, 6, 6)
    truth[1, 0], truth[2] = math.nan, math.nan
    known = truth.isfinite()
    for loss in (entropy_loss, dice_loss):
        (gradient,) = torch.autograd.grad(loss(logits, truth, known), logits)
        assert gradient.isfinite().all()
        assert (gradient[~known] == 0).all()
        assert (gradient[known] != 0).any()
        parts = [loss(logits[i : i + 1, j : j + 1], truth[i : i + 1, j : j + 1], known[i : i + 1, j : j + 1])
                 for i, j in ((0, 0), (0, 1), (1, 1))]  # fmt: skip
        assert_close(loss(logits, truth, known), torch.stack(parts).mean())


def test_without_any_known_place_the_losses_are_zero_with_a_gradient_of_zero():
    logits, truth, _ = drawn(2, 2, 4, 4)
    known = torch.zeros_like(truth, dtype=torch.bool)
    for loss in (entropy_loss, dice_loss):
        value = loss(logits, truth * math.nan, known)
        (gradient,) = torch.autograd.grad(value, logits)
        assert value == 0
        assert (gradient == 0).all()
