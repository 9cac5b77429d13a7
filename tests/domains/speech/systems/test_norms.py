"""The norm over a recording does not see padding."""

import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from armillary.core.norms import LayerNorm
from armillary.domains.speech.systems.norms import GlobalNorm, build_norm


def filled(norm: GlobalNorm) -> GlobalNorm:
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    return norm.double()


@pytest.mark.parametrize("masked", [False, True])
def test_it_is_the_group_norm_of_one_group(masked):
    norm, values = filled(GlobalNorm(5)), torch.randn(3, 7, 5).double()
    mask = torch.ones(3, 7, dtype=torch.bool) if masked else None
    expected = functional.group_norm(values.mT, 1, norm.weight, norm.bias, 1e-8).mT
    assert_close(norm(values, mask), expected)


def test_padding_changes_nothing():
    norm, values = filled(GlobalNorm(5)), torch.randn(2, 7, 5).double()
    mask = torch.arange(7) < torch.tensor([[4], [7]])
    padded = values.where(mask.unsqueeze(-1), torch.full((), 1e3).double())
    assert_close(norm(padded, mask)[:1, :4], norm(values[:1, :4]))


def test_nothing_and_silence_stay_finite():
    norm = GlobalNorm(5)
    empty = torch.zeros(1, 4, dtype=torch.bool)
    assert torch.isfinite(norm(torch.randn(1, 4, 5), empty)).all()
    assert_close(norm(torch.zeros(1, 4, 5)), torch.zeros(1, 4, 5))


def test_step_norms_are_those_of_the_core_with_the_published_constant():
    norm = build_norm("step", 5)
    assert isinstance(norm, LayerNorm)
    assert norm.eps == 1e-8
