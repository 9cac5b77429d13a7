"""Sines and cosines of the coordinates on a grid."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch.testing import assert_close

from armillary.core.config.embeddings import GridSinusoidalSettings, PatchEmbeddingSettings
from armillary.core.config.parts import EMBEDDINGS, POSITIONS, build_part
from armillary.core.embeddings import grid_sinusoidal
from armillary.core.errors import ConfigError
from armillary.core.optim import parameter_groups
from armillary.core.tokens import Grid, Tokens


def part(width: int = 8, extents: tuple[int, ...] = (2, 3), prefix: int = 0):
    return build_part(POSITIONS, GridSinusoidalSettings(extents=extents, prefix=prefix), width)


def zeros(extents: tuple[int, ...], width: int = 8, prefix: int = 0) -> Tokens:
    grid = Grid(extents, (False,) * len(extents))
    return Tokens(torch.zeros(2, prefix + math.prod(extents), width), grid=grid, prefix=prefix)


def test_a_row_by_hand():
    row = grid_sinusoidal((2, 3), 8)[5]  # place (1, 2)
    expected = [math.sin(1), math.sin(0.01), math.cos(1), math.cos(0.01)]
    expected += [math.sin(2), math.sin(0.02), math.cos(2), math.cos(0.02)]
    assert_close(row, torch.tensor(expected))


@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.integers(6, 20))
def test_every_place_has_a_row_of_its_own_and_of_one_length(extents: list[int], width: int):
    table = grid_sinusoidal(tuple(extents), width)
    assert table.shape == (math.prod(extents), width)
    assert len({tuple(row.tolist()) for row in table}) == len(table)
    pairs = len(extents) * (width // (2 * len(extents)))
    assert_close(table.square().sum(1), torch.full((len(table),), float(pairs)))


@given(st.integers(0, 2), st.integers(0, 2))
def test_products_of_rows_depend_on_the_difference_of_places_alone(row: int, column: int):
    table = grid_sinusoidal((5, 5), 12).double().reshape(5, 5, 12)
    assert_close((table[row, column] * table[row + 2, column + 1]).sum(), (table[0, 0] * table[2, 1]).sum())


def test_the_table_is_counted_but_does_not_learn_and_has_rows_for_the_prefix():
    position = part(extents=(14, 14), prefix=1)
    assert sum(parameter.numel() for parameter in position.parameters()) == 197 * 8
    assert position.table[0].abs().sum() == 0
    assert not position.table.requires_grad
    assert parameter_groups(position, 0.1, 1e-3) == []


@pytest.mark.parametrize("prefix", [0, 1, 3])
def test_the_prefix_gets_nothing_whatever_the_table_was_built_for(prefix):
    values = part(prefix=1)(zeros((2, 3), prefix=prefix)).values
    assert values[:, :prefix].abs().sum() == 0
    assert_close(values[1, prefix:], grid_sinusoidal((2, 3), 8))


@pytest.mark.parametrize("extents", [(4, 2), (2, 3, 2), (7,)])
def test_another_grid_is_computed_anew(extents):
    assert_close(part()(zeros(extents)).values[0], grid_sinusoidal(extents, 8))


def test_tokens_keep_their_precision():
    tokens = zeros((2, 3))
    half = tokens.with_values(tokens.values.bfloat16())
    assert part()(half).values.dtype == torch.bfloat16


def test_tokens_without_a_grid_or_with_some_taken_away_are_refused():
    with pytest.raises(ValueError, match="got tokens without one"):
        part()(Tokens(torch.zeros(1, 6, 8)))
    with pytest.raises(ValueError, match=r"got 5 tokens on a grid of extents \(2, 3\)"):
        part()(Tokens(torch.zeros(1, 5, 8), grid=Grid((2, 3), (False, False))))


def test_a_width_without_room_for_every_axis_is_refused():
    with pytest.raises(ConfigError, match="width 5 has no sine and cosine for each of 3 axes"):
        part(width=5, extents=(2, 2, 2))
    with pytest.raises(ConfigError, match="4 at least"):
        part(width=3, extents=(2,))(zeros((2, 2), width=3))
    with pytest.raises(ValidationError):
        GridSinusoidalSettings(extents=(2, 2, 2, 2))


def test_patches_take_it():
    settings = PatchEmbeddingSettings(features=1, patch=(2, 2), position=GridSinusoidalSettings(extents=(2, 3)))
    embedding = build_part(EMBEDDINGS, settings, 8)
    torch.nn.init.zeros_(embedding.project.bias)
    assert_close(embedding(torch.zeros(1, 4, 6, 1)).values[0], grid_sinusoidal((2, 3), 8))
