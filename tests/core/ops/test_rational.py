"""The rational activation by itself: forms, groups, starting coefficients, and what it refuses."""

import jaxtyping
import numpy as np
import pytest
import torch
from torch.testing import assert_close

from armillary.core.ops.rational import rational
from armillary.core.ops.rational.coefficients import INITIAL
from armillary.core.ops.rational.fit import HALF_WIDTH, TARGETS, fit, quotient

every_start = pytest.mark.parametrize("name", INITIAL)


def _start(name, groups=1):
    return torch.tensor([INITIAL[name].numerator]), torch.tensor([INITIAL[name].denominator]).repeat(groups, 1)


def test_a_value_worked_by_hand():
    numerator, denominator = torch.tensor([[1.0, 2, 0, 0, 0, 1]]), torch.tensor([[1.0, -1, 0, 2]])
    x = torch.tensor([2.0, -2.0])
    assert_close(rational(x, numerator, denominator), torch.tensor([37 / 39, -35 / 39]))
    assert_close(rational(x, numerator, denominator, form="B"), torch.tensor([37 / 31, -35 / 27]))


def test_each_group_of_neighbouring_channels_has_its_own_coefficients():
    x = torch.linspace(-3, 3, 24).view(4, 6)
    numerator, denominator = torch.randn(3, 6), torch.randn(3, 4)
    each = [rational(x[:, 2 * g : 2 * g + 2], numerator[g : g + 1], denominator[g : g + 1]) for g in range(3)]
    assert_close(rational(x, numerator, denominator), torch.cat(each, 1))


def test_form_a_is_blind_to_the_signs_of_the_denominator_and_has_no_poles():
    x, numerator = torch.linspace(-50, 50, 1001)[:, None], torch.randn(1, 6)
    denominator = torch.tensor([[3.0, -4, 5, -6]])
    assert torch.equal(rational(x, numerator, denominator), rational(x, numerator, denominator.abs()))
    assert rational(x, numerator, denominator).isfinite().all()


def test_a_coefficient_of_zero_is_at_rest_under_form_a_and_moves_under_form_b():
    x, numerator = torch.linspace(1, 2, 8), torch.ones(1, 6)
    slopes = {}
    for form in ("A", "B"):
        denominator = torch.tensor([[0.0, 0.5, 0.0, 0.5]], requires_grad=True)
        rational(x, numerator, denominator, form=form).sum().backward()
        slopes[form] = denominator.grad
    assert (slopes["A"] == 0).tolist() == [[True, False, True, False]]
    assert (slopes["B"] != 0).all()


@every_start
def test_fitting_again_gives_the_stored_coefficients_and_their_error(name):
    again, stored = fit(name), INITIAL[name]
    np.testing.assert_allclose(again.numerator, stored.numerator, rtol=1e-4, atol=1e-8)
    np.testing.assert_allclose(again.denominator, stored.denominator, rtol=1e-4)
    assert again.max_error == pytest.approx(stored.max_error, rel=0.02)


@every_start
def test_the_stored_error_is_that_of_the_stored_coefficients_in_double_precision(name):
    x = np.linspace(-HALF_WIDTH, HALF_WIDTH, 4001)
    stored = INITIAL[name]
    values = quotient(x, np.array(stored.numerator), np.array(stored.denominator))
    assert np.abs(values - TARGETS[name](x)).max() == pytest.approx(stored.max_error, rel=0.02)


@every_start
def test_both_forms_start_as_the_same_function(name):
    x = torch.linspace(-HALF_WIDTH, HALF_WIDTH, 1001)[:, None]
    difference = rational(x, *_start(name)) - rational(x, *_start(name), form="B")
    assert difference.abs().max() < 2e-4


@every_start
def test_every_coefficient_moves_from_its_start(name):
    numerator, denominator = (tensor.requires_grad_() for tensor in _start(name, groups=2))
    rational(torch.randn(64, 4), numerator, denominator).square().sum().backward()
    assert (numerator.grad != 0).all()
    assert (denominator.grad != 0).all()


X, NUMERATOR, DENOMINATOR = torch.zeros(2, 6), torch.zeros(3, 6), torch.zeros(3, 4)
REFUSED = {
    "no axis": (
        (torch.tensor(1.0), NUMERATOR, DENOMINATOR),
        "x has no axis, expected (..., d) with the channels last.",
    ),
    "groups": ((torch.zeros(2, 8), NUMERATOR, DENOMINATOR), "groups = 3 does not divide d = 8; choose one that does."),
    "numerator": (
        (X, torch.zeros(2, 6), DENOMINATOR),
        "numerator has shape (2, 6), expected (1 or g, 6) = (3, 6), as the other arguments tell.",
    ),
    "degree": (
        (X, torch.zeros(1, 5), DENOMINATOR),
        "numerator has shape (1, 5), expected (1 or g, 6) = (1, 6), as the other arguments tell.",
    ),
    "denominator": (
        (X, NUMERATOR, torch.zeros(3, 5)),
        "denominator has shape (3, 5), expected (g, 4) = (3, 4), as the other arguments tell.",
    ),
    "dtype": ((X.long(), NUMERATOR, DENOMINATOR), "x has dtype torch.int64, expected a real floating-point tensor."),
    "axes": ((X, NUMERATOR, torch.zeros(4)), "denominator has shape (4,), expected 2 axes (g 4)."),
    "device": (
        (X, NUMERATOR, DENOMINATOR.to("meta")),
        "denominator lies on meta, expected cpu, where x lies; move one of them.",
    ),
}


@pytest.mark.parametrize(("arguments", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_does_not_fit_is_refused_by_name(arguments, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # users have no checks of shapes before ours
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the whole message is compared
        rational(*arguments)
    assert str(caught.value) == f"rational: {message}"


def test_an_unknown_form_is_refused(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match="rational: form is 'C', expected 'A' or 'B'"):
        rational(X, NUMERATOR, DENOMINATOR, form="C")
