"""Stages that are halved along every axis by an overlapping convolution with a layer norm."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch.nn import functional
from torch.testing import assert_close

from armillary.core.config.mixers import PoolingSettings
from armillary.core.config.trunk import StageSettings, TrunkSettings
from armillary.core.cost import describe
from armillary.core.resample import Merge
from armillary.core.strided import ConvNormMerge
from armillary.core.tokens import Grid, Tokens
from armillary.core.trunk import Trunk

POOLING = (PoolingSettings(),)


def _values(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def _merge(rank: int, kernel: int = 3) -> ConvNormMerge:
    torch.manual_seed(0)
    merge = ConvNormMerge(3, 5, rank, kernel).double()
    for parameter in merge.norm.parameters():
        # Weights of one and biases of zero could hide a mistake.
        torch.nn.init.normal_(parameter)
    return merge


def _on(extents: tuple[int, ...], periodic: tuple[bool, ...] | None = None, mask=None) -> Tokens:
    length = torch.Size(extents).numel()
    grid = Grid(extents, periodic or (False,) * len(extents))
    return Tokens(_values(2, length, 3), mask, grid=grid)


@pytest.mark.parametrize("extents", [(1,), (7,), (8,), (4, 6), (5, 3), (1, 1), (4, 3, 5)])
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_it_is_a_strided_convolution_and_a_layer_norm(extents, kernel):
    rank = len(extents)
    merge, tokens = _merge(rank, kernel), _on(extents)
    convolve = (functional.conv1d, functional.conv2d, functional.conv3d)[rank - 1]
    weight = merge.convolve.weight.squeeze(2) if rank == 1 else merge.convolve.weight
    image = tokens.values.mT.reshape(2, 3, *extents)
    expected = convolve(image, weight, merge.convolve.bias, stride=2, padding=kernel // 2)
    assert_close(merge(tokens).values, merge.norm(expected.flatten(2).mT))


@settings(deadline=None, max_examples=20)
@given(extents=st.lists(st.integers(1, 7), min_size=1, max_size=3).map(tuple))
def test_half_of_every_axis_remains_rounded_up(extents):
    merged = _merge(len(extents))(_on(extents))
    assert merged.grid == Grid(tuple(-(-extent // 2) for extent in extents), (False,) * len(extents))
    assert merged.values.shape == (2, torch.Size(merged.grid.extents).numel(), 5)


def test_places_are_those_of_a_merge_of_neighbours():
    mask = torch.zeros(2, 5, 3, dtype=torch.bool)
    mask[0, :3, :2] = mask[1, 4, 2] = True
    tokens = Tokens(_values(2, 15, 3), mask.flatten(1), _values(2, 15, 2), grid=Grid((5, 3), (False, False)))
    ours, theirs = _merge(2)(tokens), Merge(3, 5, rank=2).double()(tokens)
    assert torch.equal(ours.mask, theirs.mask)
    assert_close(ours.positions, theirs.positions)
    assert ours.grid == theirs.grid == Grid((3, 2), (False, False))


def test_a_masked_token_changes_no_merged_one():
    mask = torch.zeros(2, 5, 4, dtype=torch.bool)
    mask[:, :3, :2] = True
    tokens, merge = _on((5, 4), mask=mask.flatten(1)), _merge(2)
    other = tokens.with_values(tokens.values.masked_fill(~mask.flatten(1).unsqueeze(-1), -9.0))
    assert torch.equal(merge(tokens).values, merge(other).values)


def test_a_masked_margin_gives_what_the_cut_image_gives():
    mask = torch.zeros(2, 6, 6, dtype=torch.bool)
    mask[:, :4, :2] = True
    tokens, merge = _on((6, 6), mask=mask.flatten(1)), _merge(2)
    cut = Tokens(tokens.values[mask.flatten(1)].reshape(2, 8, 3), grid=Grid((4, 2), (False, False)))
    merged = merge(tokens)
    assert_close(merged.values[merged.mask].reshape(2, 2, 5), merge(cut).values)


def test_periodic_axes_wrap():
    merge, tokens = _merge(2), _on((8, 5), (True, False))
    image = tokens.values.unflatten(1, (8, 5))
    rolled = merge(tokens.with_values(image.roll(2, 1).flatten(1, 2))).values.unflatten(1, (4, 3))
    assert_close(rolled, merge(tokens).values.unflatten(1, (4, 3)).roll(1, 1))
    with pytest.raises(ValueError, match="periodic axis of odd extent"):
        merge(_on((7, 5), (True, False)))


def test_prefix_tokens_stay_in_front():
    merge, values = _merge(2), _values(1, 1 + 15, 3)
    grid = Grid((5, 3), (False, False))
    merged = merge(Tokens(values, grid=grid, prefix=1))
    assert (merged.prefix, merged.values.shape) == (1, (1, 1 + 6, 5))
    assert_close(merged.values[:, 1:], merge(Tokens(values[:, 1:], grid=grid)).values)
    among = merge(Tokens(values[:, :1].expand(-1, 25, -1), grid=Grid((5, 5), (False, False)))).values
    assert_close(merged.values[:, 0], among.unflatten(1, (3, 3))[:, 1, 1])


@pytest.mark.parametrize("batch", [0, 2])
@pytest.mark.parametrize("extents", [(0, 3), (3, 4)])
def test_nothing_in_gives_nothing_out(batch, extents):
    length = torch.Size(extents).numel()
    merged = _merge(2)(Tokens(_values(batch, length, 3), grid=Grid(extents, (False, False))))
    assert merged.values.shape == (batch, -(-extents[0] // 2) * 2, 5)


def test_what_cannot_be_convolved_is_refused():
    with pytest.raises(ValueError, match="packed tokens cannot be resampled"):
        _merge(1)(Tokens(_values(1, 4, 3), segments=torch.zeros(1, 4, dtype=torch.int64)))
    with pytest.raises(ValueError, match="resamples 2 axes, got tokens with extents"):
        _merge(2)(Tokens(_values(1, 4, 3)))
    with pytest.raises(ValidationError, match="kernel=4 has no centre token"):
        StageSettings(depth=1, pattern=POOLING, resample="conv_norm2", kernel=4)


def test_a_trunk_goes_down_by_convolution_and_comes_back_to_odd_extents():
    stages = (
        StageSettings(depth=1, pattern=POOLING),
        StageSettings(depth=1, pattern=POOLING, resample="conv_norm2", width=6, kernel=5),
        StageSettings(depth=1, pattern=POOLING, resample="up2", width=4),
    )
    trunk = Trunk(TrunkSettings(width=3, stages=stages, grid_rank=2)).double()
    assert not trunk.capabilities.causal
    assert not trunk.capabilities.packed_segments
    encoded = trunk.encode(_on((5, 3)))
    assert [tuple(stage.values.shape[1:]) for stage in encoded] == [(15, 3), (6, 6), (15, 4)]
    assert encoded[-1].grid == Grid((5, 3), (False, False))


def test_its_work_is_counted():
    stage = StageSettings(depth=1, pattern=POOLING, resample="conv_norm2", width=5)
    model = Trunk(TrunkSettings(width=3, stages=(stage,), channel=None, grid_rank=2))
    tokens = Tokens(torch.zeros(2, 35, 3, device="meta"), grid=Grid((5, 7), (False, False)))
    described = describe(model, {}, lambda model, _: model(tokens))
    (part,) = (part for part in described.parts if part.kind == "ConvNormMerge")
    assert part.mac == 2 * (3 * 4) * 5 * (3 * 9)
    assert not described.uncounted


def test_a_merge_may_norm_its_blocks_before_the_map():
    torch.manual_seed(0)
    merge, tokens = Merge(3, 5, rank=2, norm=True).double(), _on((4, 6))
    torch.nn.init.normal_(merge.norm.weight)
    plain = Merge(3, 12, rank=2).double()
    torch.nn.init.eye_(plain.project.weight)
    assert_close(merge(tokens).values, merge.project(merge.norm(plain(tokens).values)))
    stage = StageSettings(depth=1, pattern=POOLING, resample="norm_down2", width=6)
    resampled = Trunk(TrunkSettings(width=3, stages=(stage,), grid_rank=2)).stages[0].resample
    assert isinstance(resampled, Merge)
    assert resampled.norm is not None
