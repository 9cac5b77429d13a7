"""Temperatures and shifts that undo what was done to scores."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional
from torch.testing import assert_close

from armillary.core.calibration import fit_temperature, fit_vector_scaling


def drawn(count: int, classes: int = 4, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores, and classes drawn with just the probabilities that these say."""
    rng = torch.Generator().manual_seed(seed)
    scores = 2 * torch.randn(count, classes, generator=rng)
    return scores, torch.multinomial(scores.softmax(1), 1, generator=rng)[:, 0]


@pytest.mark.parametrize("factor", [0.2, 1.0, 5.0])
def test_the_temperature_undoes_a_factor_on_honest_scores(factor: float):
    scores, target = drawn(20_000)
    assert fit_temperature(scores * factor, target) == pytest.approx(1 / factor, rel=0.05)


@settings(max_examples=20)
@given(st.integers(0, 1000), st.integers(2, 6), st.floats(0.1, 10))
def test_no_temperature_nearby_has_a_lower_loss_and_the_loss_never_rises(seed: int, classes: int, factor: float):
    scores, target = drawn(60, classes, seed)
    scores = (scores * factor).double()
    fitted = fit_temperature(scores, target).double()

    def loss(temperature: torch.Tensor) -> float:
        return float(functional.cross_entropy(scores * temperature, target))

    assert fitted > 0
    for other in (1.0, 0.9 * fitted, 1.1 * fitted):
        assert loss(fitted) <= loss(torch.as_tensor(other)) + 1e-6


@pytest.mark.parametrize("target", [[], [2, 2, 2]])
def test_fewer_than_two_classes_leave_scores_as_they_are(target: list[int]):
    scores = torch.randn(len(target), 3, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor(target, dtype=torch.int64)
    assert fit_temperature(scores, labels) == 1
    factor, shifts = fit_vector_scaling(scores, labels, torch.ones(len(target)))
    assert factor == 1
    assert_close(shifts, torch.zeros(3))


def test_vector_scaling_undoes_a_factor_and_shifts_that_are_relative_to_the_first_class():
    scores, target = drawn(20_000)
    shifts = torch.tensor([0.0, 1.0, -1.0, 0.5])
    factor, found = fit_vector_scaling((scores - shifts) / 2, target, torch.ones(len(target)))
    assert factor == pytest.approx(2, rel=0.05)
    assert found[0] == 0
    assert_close(found, shifts, atol=0.1, rtol=0)


def test_an_item_of_weight_two_counts_as_two_items_and_one_of_weight_none_as_none():
    scores, target = drawn(300)
    double = torch.arange(300) < 100
    weighted = fit_vector_scaling(scores, target, 1.0 + double)
    repeated = fit_vector_scaling(
        torch.cat([scores, scores[double]]), torch.cat([target, target[double]]), torch.ones(400)
    )
    half = fit_vector_scaling(scores, target, double.float())
    alone = fit_vector_scaling(scores[double], target[double], torch.ones(100))
    for one, other in ((weighted, repeated), (half, alone)):
        for left, right in zip(one, other, strict=True):
            assert_close(left, right, atol=1e-4, rtol=1e-4)


def test_a_fit_works_where_gradients_are_off():
    scores, target = drawn(500)
    with torch.no_grad():
        assert fit_temperature(3 * scores, target) == pytest.approx(
            float(fit_temperature(scores, target)) / 3, rel=1e-3
        )
