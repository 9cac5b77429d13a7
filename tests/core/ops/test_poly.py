"""PolyNorm and PolyReLU by themselves: values by hand, invariances, range, and what they refuse."""

import jaxtyping
import pytest
import torch
from torch.testing import assert_close

from armillary.core.ops.polynorm import polynorm
from armillary.core.ops.polyrelu import polyrelu

WEIGHT, BIAS = torch.tensor([2.0, 3.0, 5.0]), torch.tensor(7.0)


def test_polynorm_of_a_row_worked_by_hand():
    x = torch.tensor([1.0, -2.0])
    cubic, square, linear = ((x**k) / (x ** (2 * k)).mean().sqrt() for k in (3, 2, 1))
    assert_close(polynorm(x, WEIGHT, BIAS), 2 * cubic + 3 * square + 5 * linear + 7)


def test_polyrelu_worked_by_hand():
    assert_close(
        polyrelu(torch.tensor([2.0, -2.0, 0.0]), WEIGHT, BIAS), torch.tensor([2 * 8 + 3 * 4 + 5 * 2 + 7.0, 7, 7])
    )


def test_polynorm_does_not_see_the_scale_of_a_row():
    x = torch.randn(5, 40)
    assert_close(
        polynorm(x * torch.logspace(0, 3, 5)[:, None], WEIGHT, BIAS), polynorm(x, WEIGHT, BIAS), rtol=1e-5, atol=1e-4
    )


def test_polynorm_takes_each_row_by_itself_and_treats_channels_alike():
    x, order = torch.randn(6, 17), torch.randperm(17)
    whole = polynorm(x, WEIGHT, BIAS)
    assert torch.equal(polynorm(x[2], WEIGHT, BIAS), whole[2])
    assert_close(polynorm(x[:, order], WEIGHT, BIAS), whole[:, order])


def test_powers_that_leave_half_precision_are_harmless():
    x = torch.tensor([[300.0, -200.0, 100.0, 0.5]], dtype=torch.float16)
    y = polynorm(x, WEIGHT, BIAS)
    assert y.dtype == torch.float16
    assert_close(y, polynorm(x.double(), WEIGHT.double(), BIAS.double()).half())


def test_a_row_of_zeros_gives_the_bias_and_finite_slopes():
    for op in (polynorm, polyrelu):
        x = torch.zeros(2, 8, requires_grad=True)
        y = op(x, WEIGHT, BIAS)
        y.sum().backward()
        assert torch.equal(y, BIAS.expand(2, 8))
        assert x.grad.isfinite().all()


@pytest.mark.parametrize("op", [polynorm, polyrelu])
def test_what_does_not_fit_is_refused_by_name(op):
    x = torch.zeros(2, 4)
    refused = {
        "weight has shape (4,), expected (3) = (3,), as the other arguments tell.": (x, torch.zeros(4), BIAS),
        "bias has shape (4,), expected (no axis) = (), as the other arguments tell.": (x, WEIGHT, torch.zeros(4)),
        "weight lies on meta, expected cpu, where x lies; move one of them.": (x, WEIGHT.to("meta"), BIAS),
    }
    for message, arguments in refused.items():
        with pytest.raises(ValueError) as caught:  # noqa: PT011  the whole message is compared
            op(*arguments)
        assert str(caught.value) == f"{op.__name__}: {message}"


def test_polynorm_needs_a_row(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # users have no checks of shapes before ours
    with pytest.raises(ValueError, match="polynorm: x has no axis"):
        polynorm(torch.tensor(1.0), WEIGHT, BIAS)
