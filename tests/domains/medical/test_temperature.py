"""One temperature for all scores."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from armillary.domains.medical.classifier import class_entropy, label_entropy
from armillary.domains.medical.temperature import HIGHEST, LOWEST, fit_temperature


def drawn(seed: int, count: int, sharpness: float) -> tuple[Tensor, Tensor]:
    """Scores (count, 3) that are `sharpness` times too certain, with labels that follow from the right ones."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(count, 3, generator=generator) * 2
    return scores * sharpness, torch.bernoulli(scores.sigmoid(), generator=generator)


@settings(max_examples=20)
@given(st.integers(0, 1000), st.integers(3, 60), st.floats(0.2, 5.0))
def test_the_fitted_temperature_never_raises_the_loss(seed: int, count: int, sharpness: float):
    scores, target = drawn(seed, count, sharpness)
    found = fit_temperature(lambda scaled: label_entropy(scaled, target), scores)
    assert LOWEST <= float(found) <= HIGHEST
    assert label_entropy(scores / found, target) <= label_entropy(scores, target) + 1e-6


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_scores_that_are_too_certain_are_cooled_down_by_that_much(sharpness: float):
    scores, target = drawn(0, 4000, sharpness)
    found = fit_temperature(lambda scaled: label_entropy(scaled, target), scores)
    assert float(found) == pytest.approx(sharpness, rel=0.1)


def test_for_classes_no_other_temperature_has_a_lower_loss():
    generator = torch.Generator().manual_seed(1)
    scores = torch.randn(300, 3, generator=generator) * 3
    target = torch.multinomial((scores / 2).softmax(-1), 1, generator=generator)[:, 0]
    one_hot = functional.one_hot(target, 3).float()
    found = float(fit_temperature(lambda scaled: class_entropy(scaled, one_hot), scores))
    grid = torch.logspace(-1, 1, 801)
    best = grid[torch.stack([functional.cross_entropy(scores / level, target) for level in grid]).argmin()]
    assert found == pytest.approx(float(best), rel=5e-3)


def test_positives_that_are_told_apart_without_a_mistake_keep_the_temperature_in_bounds():
    scores = torch.tensor([[-1.0], [-0.5], [2.0]])
    target = torch.tensor([[0.0], [0.0], [1.0]])
    found = fit_temperature(lambda scaled: label_entropy(scaled, target), scores)
    assert float(found) == pytest.approx(LOWEST, rel=1e-3)


def test_without_scores_the_temperature_is_one():
    assert float(fit_temperature(lambda scaled: scaled.sum(), torch.zeros(0, 3))) == 1.0
