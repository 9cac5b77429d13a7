"""Drop path."""

import torch
from torch.testing import assert_close

from armillary.core.block import DropPath


def test_drop_path_skips_whole_items_at_its_rate_and_keeps_the_mean():
    torch.manual_seed(0)
    branch = torch.ones(4000, 3, 2)
    dropped = DropPath(0.25).train()(branch)
    factors = dropped[:, :1, :1]
    assert torch.equal(dropped, factors.expand_as(branch))
    assert set(factors.flatten().tolist()) == {0.0, factors.max().item()}
    assert_close(factors.max(), torch.tensor(4 / 3))
    # Standard error of the mean of 4000 draws is 0.009; five of them.
    assert abs(dropped.mean().item() - 1) < 0.045


def test_drop_path_is_off_in_evaluation():
    branch = torch.randn(50, 3, 2)
    assert DropPath(0.9).eval()(branch) is branch
