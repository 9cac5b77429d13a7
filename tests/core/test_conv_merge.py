"""Stages that are halved by an overlapping convolution."""

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional
from torch.testing import assert_close

from armillary.core.config.mixers import PoolingSettings
from armillary.core.config.trunk import StageSettings, TrunkSettings
from armillary.core.conv_merge import ConvMerge
from armillary.core.errors import ConfigError
from armillary.core.norms import BatchNorm
from armillary.core.resample import Merge
from armillary.core.tokens import Grid, Tokens
from armillary.core.trunk import Trunk

POOLING = (PoolingSettings(),)


def _values(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def _merge(in_width: int = 3, out_width: int = 5, kernel: int = 3) -> ConvMerge:
    torch.manual_seed(0)
    return ConvMerge(in_width, out_width, 1, kernel).double().eval()


@pytest.mark.parametrize("length", [1, 2, 7, 8])
def test_it_is_a_strided_convolution_with_a_norm_and_a_gelu(length):
    merge, values = _merge(), _values(2, length, 3)
    convolved = functional.conv1d(values.mT, merge.convolve.weight, stride=2, padding=1).mT
    # A fresh norm divides by sqrt(1 + eps).
    assert_close(merge(Tokens(values)).values, functional.gelu(convolved / (1 + merge.norm.eps) ** 0.5))


def test_places_are_those_of_a_merge_of_neighbours():
    mask = torch.tensor([[True, True, True, False, False], [False, False, True, False, True]])
    tokens = Tokens(_values(2, 5, 3), mask, _values(2, 5, 1).cumsum(1), grid=Grid((5,), (False,)))
    ours, theirs = _merge()(tokens), Merge(3, 5, rank=1).double()(tokens)
    assert torch.equal(ours.mask, theirs.mask)
    assert_close(ours.positions, theirs.positions)
    assert ours.grid == theirs.grid == Grid((3,), (False,))


@pytest.mark.parametrize("training", [False, True])
def test_a_masked_token_changes_no_merged_one_and_no_moment(training):
    merge = _merge().train(training)
    mask = torch.tensor([[True, True, True, False, False]])
    values = _values(1, 5, 3)
    merged = merge(Tokens(values, mask))
    other = merge(Tokens(values.masked_fill(~mask.unsqueeze(-1), -9.0), mask))
    assert_close(merged.values[merged.mask], other.values[other.mask])


def test_a_padded_row_gives_what_it_gives_alone():
    merge, values = _merge(kernel=5), _values(1, 9, 3)
    padded = merge(Tokens(values, torch.arange(9)[None] < 5))
    assert_close(padded.values[:, :3], merge(Tokens(values[:, :5])).values)


def test_a_periodic_axis_wraps():
    merge, grid = _merge(), Grid((8,), (True,))
    tokens = Tokens(_values(1, 8, 3), grid=grid)
    rolled = merge(tokens.with_values(tokens.values.roll(2, 1)))
    assert_close(rolled.values, merge(tokens).values.roll(1, 1))
    assert rolled.grid == Grid((4,), (True,))


def test_prefix_tokens_stay_in_front():
    merge, values = _merge(), _values(1, 7, 3)
    merged = merge(Tokens(values, prefix=1))
    assert (merged.prefix, merged.values.shape) == (1, (1, 4, 5))
    assert_close(merged.values[:, 1:], merge(Tokens(values[:, 1:])).values)
    assert_close(merged.values[:, :1], merge(Tokens(values[:, :1].expand(-1, 5, -1))).values[:, 1:2])


def test_what_cannot_be_convolved_is_refused():
    with pytest.raises(ConfigError, match=r"got grid_rank=2.\n  Set resample to 'down2'"):
        ConvMerge(3, 5, 2)
    with pytest.raises(ValueError, match="packed tokens cannot be resampled"):
        _merge()(Tokens(_values(1, 4, 3), segments=torch.zeros(1, 4, dtype=torch.int64)))
    with pytest.raises(ValidationError, match="kernel=4 has no centre token"):
        StageSettings(depth=1, pattern=POOLING, resample="conv2", kernel=4)
    with pytest.raises(ValidationError, match="kernel=5 has no effect with resample='down2'"):
        StageSettings(depth=1, pattern=POOLING, resample="down2", kernel=5)


def test_a_trunk_goes_down_by_convolution_and_back_up_and_folds_its_moments():
    settings = TrunkSettings(
        width=4,
        stages=(
            StageSettings(depth=1, pattern=POOLING),
            StageSettings(depth=1, pattern=POOLING, resample="conv2", width=6, kernel=5),
            StageSettings(depth=1, pattern=POOLING, resample="up2", width=4),
        ),
    )
    trunk = Trunk(settings).double().train()
    can = trunk.capabilities
    assert (can.causal, can.streaming, can.packed_segments) == (False, False, False)
    shapes = [tuple(stage.values.shape[1:]) for stage in trunk.encode(Tokens(_values(2, 7, 4)))]
    assert shapes == [(7, 4), (4, 6), (7, 4)]
    (norm,) = (module for module in trunk.modules() if isinstance(module, BatchNorm))
    assert norm.running_mean.abs().sum() == 0
    trunk.after_step()
    assert norm.running_mean.abs().sum() > 0
