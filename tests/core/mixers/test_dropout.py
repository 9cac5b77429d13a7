"""Dropout that draws few random numbers is dropout."""

import pytest
import torch

from armillary.core.mixers.dropout import Dropout, draw_kept


def dropped(rate: float, size: int) -> torch.Tensor:
    torch.manual_seed(0)
    return Dropout(rate).train()(torch.ones(size))


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_share_that_is_zero_is_the_rate_and_the_mean_stays(rate: float) -> None:
    values = dropped(rate, 400_000)
    spread = (rate * (1 - rate) / values.numel()) ** 0.5
    assert abs(float((values == 0).float().mean()) - rate) < 5 * spread + 2**-16
    assert abs(float(values.mean()) - 1) < 5 * spread / (1 - rate)
    assert values.unique().numel() == 2


def test_neighbours_are_dropped_independently() -> None:
    gone = (dropped(0.5, 400_000) == 0).double() - 0.5
    for step in (1, 2, 3, 4, 5):
        assert abs(float((gone[step:] * gone[:-step]).mean())) < 5 * 0.25 / 400_000**0.5


def test_the_gradient_falls_on_what_was_kept() -> None:
    values = torch.ones(3, 7, requires_grad=True)
    torch.manual_seed(1)
    output = Dropout(0.5).train()(values)
    output.sum().backward()
    assert torch.equal(values.grad, output)


def test_the_seed_of_torch_decides() -> None:
    assert torch.equal(dropped(0.3, 99), dropped(0.3, 99))


@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_outside_of_training_and_without_a_rate_values_pass_as_they_are(rate: float) -> None:
    values = torch.randn(4)
    assert Dropout(rate).eval()(values) is values
    assert Dropout(0.0).train()(values) is values


def test_a_rate_near_one_still_keeps_something_possible() -> None:
    kept, scale = draw_kept(torch.zeros(5), 1 - 1e-9)
    assert scale == 2**16
    assert kept.shape == (5,)
