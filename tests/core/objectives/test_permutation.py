"""The best pairing of outputs with targets."""

from itertools import permutations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from armillary.core.objectives.permutation import best_order, in_order, matched


def random_scores(number: int, seed: int, batch: int = 7) -> Tensor:
    return torch.randn(batch, number, number, generator=torch.Generator().manual_seed(seed))


def total(scores: Tensor, order: Tensor) -> Tensor:
    return matched(scores, order).double().sum(-1)


def best_by_trial(scores: Tensor) -> Tensor:
    number = scores.shape[-1]
    orders = [torch.tensor(order).expand(len(scores), -1) for order in permutations(range(number))]
    return torch.stack([total(scores, order) for order in orders]).max(0).values


@given(st.integers(1, 5), st.integers(0, 10_000))
def test_no_order_has_a_higher_total(number, seed):
    scores = random_scores(number, seed)
    order = best_order(scores)
    assert_close(order.sort(1).values, torch.arange(number).expand(len(scores), -1))
    assert_close(total(scores, order), best_by_trial(scores))


@given(st.integers(1, 6), st.integers(0, 10_000), st.data())
def test_outputs_in_another_order_are_put_back(number, seed, data):
    targets = torch.randn(1, number, 5, generator=torch.Generator().manual_seed(seed))
    shuffled = targets[:, data.draw(st.permutations(range(number)))]
    scores = -(shuffled.unsqueeze(2) - targets.unsqueeze(1)).square().sum(-1)
    assert_close(in_order(shuffled, best_order(scores)), targets)


@given(st.integers(1, 6), st.integers(0, 1000), st.data())
def test_permuting_the_outputs_permutes_the_order_and_keeps_the_total(number, seed, data):
    scores = random_scores(number, seed, batch=1)
    moved = torch.tensor(data.draw(st.permutations(range(number))))
    order = best_order(scores[:, moved])
    assert_close(moved[order], best_order(scores))
    assert_close(total(scores[:, moved], order), total(scores, best_order(scores)))


@pytest.mark.parametrize("number", [1, 2, 3])
def test_equal_scores_leave_things_as_they_are(number):
    assert_close(best_order(torch.zeros(2, number, number)), torch.arange(number).expand(2, -1))


@pytest.mark.parametrize("number", [4, 5, 8])
def test_equal_scores_still_give_an_order(number):
    order = best_order(torch.zeros(2, number, number))
    assert_close(order.sort(1).values, torch.arange(number).expand(2, -1))


@pytest.mark.parametrize("number", [2, 3, 4, 5])
@pytest.mark.parametrize("bad", [float("nan"), float("-inf")])
def test_a_pair_that_cannot_be_judged_is_avoided(number, bad):
    scores = torch.zeros(1, number, number)
    scores[0, 0, 0] = bad
    assert best_order(scores)[0, 0] != 0


@pytest.mark.parametrize("number", [2, 4])
def test_an_order_comes_even_of_nothing_but_nan(number):
    order = best_order(torch.full((3, number, number), float("nan")))
    assert_close(order.sort(1).values, torch.arange(number).expand(3, -1))


@pytest.mark.parametrize("number", [2, 5])
def test_no_items_have_no_orders(number):
    assert best_order(torch.zeros(0, number, number)).shape == (0, number)


@pytest.mark.parametrize("number", [3, 5])
def test_gradients_reach_the_chosen_pairs_only(number):
    scores = random_scores(number, 3, batch=2).requires_grad_()
    order = best_order(scores)
    matched(scores, order).sum().backward()
    chosen = torch.zeros_like(scores)
    for item in range(2):
        chosen[item, order[item], torch.arange(number)] = 1
    assert_close(scores.grad, chosen)


@pytest.mark.parametrize("number", [2, 5])
def test_shapes_are_known_on_the_meta_device(number):
    assert best_order(torch.zeros(3, number, number, device="meta")).shape == (3, number)


def test_features_of_any_shape_are_ordered():
    values = torch.arange(12).reshape(1, 3, 2, 2)
    assert_close(in_order(values, torch.tensor([[2, 0, 1]])), values[:, [2, 0, 1]])
