"""Which grid tokens lie on, and moving between rows and grids."""

import pytest
import torch
from torch import Tensor

from armillary.core.mixers.grids import counted_extents, from_grid, grid_of, row_extents, to_grid
from armillary.core.tokens import Grid, Tokens


def tokens_on(*extents: int, length: int | None = None, prefix: int = 0, mask: Tensor | None = None) -> Tokens:
    grid = Grid(extents, (False,) * len(extents)) if extents else None
    total = length if length is not None else int(torch.tensor(extents).prod())
    return Tokens(torch.randn(2, total, 3), mask=mask, grid=grid, prefix=prefix)


def test_a_sequence_is_a_grid_of_one_axis_that_does_not_wrap() -> None:
    assert grid_of(tokens_on(length=5), "mixer", (1, 2)) == Grid((5,), (False,))


def test_a_grid_of_a_rank_that_is_read_is_given_back() -> None:
    assert grid_of(tokens_on(2, 3), "mixer", (2, 3)) == Grid((2, 3), (False, False))


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (tokens_on(2, 3, prefix=1, length=7), r"mixer mixes tokens on a grid, got 1 prefix tokens .* pool the tokens"),
        (tokens_on(length=5), r"mixer mixes tokens on a grid of 2 or 3 axes, got tokens without a grid; choose an emb"),
        (tokens_on(5), r"mixer mixes tokens on a grid of 2 or 3 axes, got extents \(5,\); choose a mixer that reads 1"),
        (tokens_on(2, 3, length=7), r"mixer got 7 tokens on a grid of extents \(2, 3\), which holds 6; give the ext"),
    ],
)
def test_other_tokens_are_refused_with_what_to_do(tokens: Tokens, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        grid_of(tokens, "mixer", (2, 3))


@pytest.mark.parametrize("extents", [(6,), (2, 3), (0, 3), (3, 1, 2)])
def test_rows_laid_out_on_a_grid_come_back(extents: tuple[int, ...]) -> None:
    tokens = tokens_on(*extents)
    assert tokens.grid is not None
    laid = to_grid(tokens.values, tokens.grid)
    assert laid.shape == (2, *extents, 3)
    assert torch.equal(from_grid(laid, tokens.grid), tokens.values)


def test_a_row_lies_in_the_block_that_holds_its_real_tokens() -> None:
    mask = torch.zeros(2, 3, 4, dtype=torch.bool)
    mask[0, 1, 2] = mask[0, 0, 0] = True
    tokens = tokens_on(3, 4, mask=mask.flatten(1))
    assert tokens.grid is not None
    extents = row_extents(tokens, tokens.grid)
    assert extents is not None
    assert extents.tolist() == [[2, 3], [0, 0]]
    wrapping = row_extents(tokens, Grid((3, 4), (False, True)))
    assert wrapping is not None
    assert wrapping.tolist() == [[2, 4], [0, 4]]
    assert row_extents(tokens_on(3, 4), tokens.grid) is None


def test_a_cost_without_a_grid_counts_a_sequence_or_the_most_cubic_grid() -> None:
    assert counted_extents(64, None, (1, 2)) == (64.0,)
    assert counted_extents(64, None, (2,)) == (8.0, 8.0)
    assert counted_extents(64, Grid((4, 16), (False, False)), (1, 2)) == (4.0, 16.0)
