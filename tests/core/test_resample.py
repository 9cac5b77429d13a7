"""Stages at several resolutions."""

import pytest
import torch
from torch.testing import assert_close

from armillary.core.config.mixers import PoolingSettings
from armillary.core.config.trunk import StageSettings, TrunkSettings
from armillary.core.resample import Merge, Split
from armillary.core.tokens import Grid, Tokens
from armillary.core.trunk import Trunk

POOLING = (PoolingSettings(),)
U_SHAPE = TrunkSettings(
    width=4,
    stages=(
        StageSettings(depth=1, pattern=POOLING),
        StageSettings(depth=2, pattern=POOLING, resample="down2", width=6),
        StageSettings(depth=1, pattern=POOLING, resample="down2"),
        StageSettings(depth=1, pattern=POOLING, resample="up2"),
        StageSettings(depth=1, pattern=POOLING, resample="up2", width=5),
    ),
)


def _values(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("length", [1, 2, 7, 13, 16])
def test_a_u_shape_returns_every_stage_and_comes_back_to_odd_lengths(length):
    trunk = Trunk(U_SHAPE)
    half, quarter = -(-length // 2), -(-length // 4)
    stages = trunk.encode(Tokens(_values(2, length, 4)))
    shapes = [tuple(stage.values.shape[1:]) for stage in stages]
    assert shapes == [(length, 4), (half, 6), (quarter, 6), (half, 6), (length, 5)]
    assert trunk.output_width == 5


def test_the_way_up_stands_where_the_way_down_stood():
    mask = torch.arange(7) < torch.tensor([[7], [4]])
    positions = _values(2, 7, 1).cumsum(1)
    stages = Trunk(U_SHAPE).encode(Tokens(_values(2, 7, 4), mask, positions))
    assert stages[-1].mask is mask
    assert stages[-1].positions is positions
    assert stages[3].mask is stages[1].mask
    assert stages[1].mask.tolist() == [[True] * 4, [True, True, False, False]]


def test_encode_ends_with_what_forward_gives():
    trunk, tokens = Trunk(U_SHAPE), Tokens(_values(2, 9, 4))
    assert torch.equal(trunk.encode(tokens)[-1].values, trunk(tokens)[0].values)


def test_a_masked_token_changes_no_merged_one_and_merged_positions_are_means_of_real_ones():
    merge = Merge(3, 5, rank=1)
    mask = torch.tensor([[True, True, True, False, False]])
    positions = torch.tensor([[[1.0], [4.0], [6.0], [100.0], [float("nan")]]])
    values = _values(1, 5, 3)
    merged = merge(Tokens(values, mask, positions))
    other = merge(Tokens(values.where(mask.unsqueeze(-1), -9.0), mask, positions))
    assert torch.equal(merged.values, other.values)
    assert merged.mask.tolist() == [[True, True, False]]
    assert merged.positions.squeeze().tolist() == [2.5, 6.0, 0.0]


def test_merging_concatenates_neighbours_of_a_grid_row_major():
    merge = Merge(1, 4, rank=2)
    torch.nn.init.eye_(merge.project.weight)
    field = torch.arange(15.0).reshape(1, 15, 1)
    merged = merge(Tokens(field, grid=Grid((3, 5), (False, False))))
    assert merged.grid == Grid((2, 3), (False, False))
    assert merged.values[0, 0].tolist() == [0.0, 1.0, 5.0, 6.0]
    assert merged.values[0, 5].tolist() == [14.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("extents", [(7,), (4, 5), (3, 2, 5)])
def test_splitting_undoes_merging_in_place(extents):
    rank, length = len(extents), int(torch.tensor(extents).prod())
    merge, split = Merge(1, 2**rank, rank), Split(2**rank, 1, rank)
    torch.nn.init.eye_(merge.project.weight)
    torch.nn.init.eye_(split.project.weight)
    tokens = Tokens(_values(2, length, 1), grid=Grid(extents, (False,) * rank))
    back = split(merge(tokens), tokens)
    assert_close(back.values, tokens.values)
    assert back.grid == tokens.grid


def test_splitting_without_a_way_down_doubles_and_inherits():
    split = Split(3, 2, rank=1)
    mask = torch.tensor([[True, False]])
    tokens = split(Tokens(_values(1, 2, 3), mask, torch.tensor([[[1.0], [2.0]]])))
    assert tokens.values.shape == (1, 4, 2)
    assert tokens.mask.tolist() == [[True, True, False, False]]
    assert tokens.positions.squeeze().tolist() == [1.0, 1.0, 2.0, 2.0]
    grid = Split(3, 2, rank=2)(Tokens(_values(1, 6, 3), grid=Grid((2, 3), (True, False))))
    assert grid.grid == Grid((4, 6), (True, False))


def test_prefix_tokens_stay_in_front():
    merge, split = Merge(3, 3, rank=1), Split(3, 3, rank=1)
    mask = torch.ones(1, 6, dtype=torch.bool)
    tokens = Tokens(_values(1, 6, 3), mask, _values(1, 6, 2), prefix=1)
    merged = merge(tokens)
    assert (merged.prefix, merged.values.shape, merged.mask.shape) == (1, (1, 4, 3), (1, 4))
    assert_close(merged.positions[:, 0], tokens.positions[:, 0])
    assert split(merged, tokens).values.shape == (1, 6, 3)
    assert split(merged).values.shape == (1, 7, 3)


def test_what_cannot_be_resampled_is_refused():
    merge = Merge(3, 3, rank=1)
    with pytest.raises(ValueError, match="packed tokens cannot be resampled"):
        merge(Tokens(_values(1, 4, 3), segments=torch.zeros(1, 4, dtype=torch.int64)))
    with pytest.raises(ValueError, match=r"set grid_rank=2"):
        merge(Tokens(_values(1, 4, 3), grid=Grid((2, 2), (False, False))))
    with pytest.raises(ValueError, match="a periodic axis of odd extent"):
        merge(Tokens(_values(1, 5, 3), grid=Grid((5,), (True,))))


def test_a_change_of_width_alone_keeps_the_places():
    settings = TrunkSettings(
        width=4, stages=(StageSettings(depth=1, pattern=POOLING), StageSettings(depth=1, pattern=POOLING, width=6))
    )
    mask = torch.ones(1, 5, dtype=torch.bool)
    output, _ = Trunk(settings)(Tokens(_values(1, 5, 4), mask))
    assert output.values.shape == (1, 5, 6)
    assert output.mask is mask
