"""The training loss against values worked by hand and its invariances."""

import math

import pytest
import torch

from armillary.domains.transients.losses import class_balanced_log_loss


def test_classes_weigh_alike_whatever_their_size():
    probability = torch.tensor([[0.5, 0.5], [0.8, 0.2], [0.2, 0.8], [0.9, 0.1]])
    target = torch.tensor([0, 0, 0, 1])
    expected = 0.5 * (-(math.log(0.5) + math.log(0.8) + math.log(0.2)) / 3 - math.log(0.1))
    assert class_balanced_log_loss(probability.log(), target).item() == pytest.approx(expected, rel=1e-6)


def test_repeating_one_class_changes_nothing():
    scores, target = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 0, 1, 2])
    more = torch.cat([scores, scores[target == 1]]), torch.cat([target, target[target == 1]])
    torch.testing.assert_close(class_balanced_log_loss(*more), class_balanced_log_loss(scores, target))


def test_a_certain_mistake_costs_34_and_a_half():
    loss = class_balanced_log_loss(torch.tensor([[1000.0, 0.0]]), torch.tensor([1]))
    assert loss.item() == pytest.approx(-math.log(1e-15), rel=1e-6)


def test_a_perfect_score_costs_nothing():
    assert class_balanced_log_loss(torch.tensor([[50.0, 0.0], [0.0, 50.0]]), torch.tensor([0, 1])).item() < 2e-15


def test_unlabelled_items_do_not_count_and_alone_cost_nothing():
    scores = torch.tensor([[1.0, 2.0, 0.5], [0.0, 3.0, 1.0]], requires_grad=True)
    both = class_balanced_log_loss(scores, torch.tensor([1, -1]))
    torch.testing.assert_close(both, class_balanced_log_loss(scores[:1], torch.tensor([1])))
    none = class_balanced_log_loss(scores, torch.tensor([-1, -1]))
    none.backward()
    assert none.item() == 0
    assert torch.isfinite(scores.grad).all()
