"""Losses of distillation: values worked by hand, invariances, and where their gradients point."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional
from torch.testing import assert_close

from armillary.core.objectives.distillation import feature_loss, soft_loss

temperatures = st.floats(0.5, 20)


def scores(seed: int, items: int = 5, classes: int = 4) -> Tensor:
    return 3 * torch.randn(items, classes, generator=torch.Generator().manual_seed(seed))


def by_hand(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T^2 sum_k p_k (ln p_k - ln q_k), in float64."""
    p, q = ((each.double() / temperature).softmax(-1) for each in (teacher, student))
    return temperature**2 * (p * (p.log() - q.log())).sum(-1).mean()


@given(st.integers(0, 100), temperatures)
def test_the_soft_loss_is_the_formula(seed: int, temperature: float):
    student, teacher = scores(seed), scores(seed + 1000)
    expected = by_hand(student, teacher, temperature).float()
    assert_close(soft_loss(student, teacher, temperature), expected, atol=1e-4, rtol=1e-4)


def test_a_sure_teacher_and_an_unsure_student_differ_by_the_logarithm_of_the_classes():
    teacher = torch.tensor([[100.0, 0.0, 0.0, 0.0]])
    assert soft_loss(torch.zeros(1, 4), teacher, 1.0).item() == pytest.approx(1.386294, abs=1e-5)


@given(st.integers(0, 100), temperatures, st.floats(-50, 50))
def test_scores_that_differ_by_a_constant_an_item_cost_nothing(seed: int, temperature: float, constant: float):
    assert soft_loss(scores(seed) + constant, scores(seed), temperature).item() == pytest.approx(0, abs=1e-3)


@given(st.integers(0, 100), temperatures)
def test_the_soft_loss_is_never_below_zero(seed: int, temperature: float):
    assert soft_loss(scores(seed), scores(seed + 1), temperature).item() >= -1e-6


@given(st.permutations(range(5)), st.permutations(range(4)))
def test_the_order_of_items_and_classes_does_not_matter(items: list[int], classes: list[int]):
    student, teacher = scores(1), scores(2)
    moved = soft_loss(student[items][:, classes], teacher[items][:, classes], 3.0)
    assert_close(moved, soft_loss(student, teacher, 3.0))


def test_the_gradient_keeps_its_size_as_the_temperature_grows():
    """For large T it tends to (z_s - z_t) / (b k), of scores with zero mean."""
    student, teacher = (each - each.mean(-1, keepdim=True) for each in (scores(1), scores(2)))
    student.requires_grad_()
    soft_loss(student, teacher, 1000.0).backward()
    assert_close(student.grad, ((student - teacher) / 20).detach(), atol=1e-3, rtol=2e-2)


def test_half_precision_is_summed_in_full():
    student, teacher = scores(1), scores(2)
    half = soft_loss(student.bfloat16(), teacher.bfloat16(), 2.0)
    assert half.dtype == torch.float32
    assert_close(half, soft_loss(student.bfloat16().float(), teacher.bfloat16().float(), 2.0))


@given(st.floats(0.1, 50), st.floats(-5, 5))
def test_the_scale_of_the_teachers_features_does_not_matter(scale: float, shift: float):
    student, teacher = scores(1, classes=32), scores(2, classes=32)
    moved = feature_loss(student, scale * teacher + shift)
    assert_close(moved, feature_loss(student, teacher), atol=1e-3, rtol=1e-3)


def test_features_that_agree_cost_nothing_and_silence_costs_one():
    teacher = scores(2, classes=32)
    assert feature_loss(functional.layer_norm(teacher, (32,)), teacher).item() == pytest.approx(0, abs=1e-6)
    assert feature_loss(torch.zeros(5, 32), teacher).item() == pytest.approx(1, abs=1e-3)
