"""Neighbourhood attention: what each token sees, beside dense attention."""

from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional

from armillary.core.config.mixers import NeighbourhoodSettings, dilated_pattern
from armillary.core.errors import ConfigError
from armillary.core.mixers import Neighbourhood
from armillary.core.testing.mixer_grids import assert_wraps
from armillary.core.testing.sequences import assert_close, random_like, reseed
from armillary.core.tokens import Grid, Tokens

WIDTH = 8


def made(**settings: object) -> Neighbourhood:
    reseed(0)
    return Neighbourhood(WIDTH, NeighbourhoodSettings.model_validate({"heads": 2} | settings)).double()


def tokens_on(*extents: int, periodic: bool = False) -> Tokens:
    length = int(torch.tensor(extents).prod())
    values = random_like(torch.empty(2, length, WIDTH, dtype=torch.float64), 1)
    return Tokens(values, grid=Grid(extents, (periodic,) * len(extents)))


def seen_by(mixer: Neighbourhood, tokens: Tokens, token: int) -> list[int]:
    """Tokens that the output of one token depends on."""
    values = tokens.values.clone().requires_grad_()
    gradient = torch.autograd.grad(mixer(replace(tokens, values=values))[0][0, token].sum(), values)[0]
    return (gradient[0].abs().amax(-1) > 0).nonzero().flatten().tolist()


def dense(mixer: Neighbourhood, values: Tensor) -> Tensor:
    q, k, v = mixer.qkv(values).unflatten(-1, (3, 2, -1)).permute(2, 0, 3, 1, 4)
    return mixer.out(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


def test_a_window_as_large_as_the_grid_is_dense_attention() -> None:
    mixer, tokens = made(window=3), tokens_on(3, 3)
    assert_close(mixer(tokens)[0], dense(mixer, tokens.values), "a window of all tokens and dense attention", 1e-12)


def test_a_sequence_shorter_than_its_window_sees_all_of_itself() -> None:
    mixer, tokens = made(window=9), tokens_on(4)
    assert_close(mixer(tokens)[0], dense(mixer, tokens.values), "a short sequence and dense attention", 1e-12)


@pytest.mark.parametrize(
    ("token", "settings", "seen"),
    [
        (4, {}, [3, 4, 5]),
        (0, {}, [0, 1, 2]),
        (8, {}, [6, 7, 8]),
        (4, {"dilation": 2}, [2, 4, 6]),
        (4, {"causal": True}, [2, 3, 4]),
        (4, {"causal": True, "dilation": 2}, [0, 2, 4]),
    ],
)
def test_a_token_sees_its_window(token: int, settings: dict[str, object], seen: list[int]) -> None:
    assert seen_by(made(window=3, **settings), tokens_on(9), token) == seen


def test_a_token_of_a_grid_sees_the_product_of_its_windows() -> None:
    assert seen_by(made(rank=2, window=(3, 2), causal=(False, True)), tokens_on(4, 5), 7) == [1, 2, 6, 7, 11, 12]


def test_a_periodic_axis_wraps() -> None:
    tokens = tokens_on(6, 5, periodic=True)
    assert_wraps(made(rank=2, window=3, relative_bias=True), tokens, (2, 4))
    assert seen_by(made(window=3), tokens_on(5, periodic=True), 0) == [0, 1, 4]


def test_a_padded_block_of_a_grid_gives_what_it_gives_alone() -> None:
    mixer, block = made(window=3), tokens_on(3, 4)
    real = functional.pad(torch.ones(2, 3, 4, dtype=torch.bool), (0, 2, 0, 3))
    values = random_like(torch.empty(2, 6, 6, WIDTH, dtype=torch.float64), 5)
    values[real] = block.values.flatten(0, 1)
    padded = mixer(Tokens(values.flatten(1, 2), mask=real.flatten(1), grid=Grid((6, 6), (False, False))))[0]
    assert_close(padded[real.flatten(1)], mixer(block)[0].flatten(0, 1), "a block padded and alone", 1e-12)


def test_the_state_holds_what_the_window_reaches() -> None:
    mixer, tokens = made(window=4, dilation=3, causal=True), tokens_on(20)
    _, state = mixer(replace(tokens, grid=None))
    assert state is not None
    assert state.window.shape == (2, 9, 2 * WIDTH + 1)


def test_a_state_on_a_grid_is_refused() -> None:
    mixer = made(window=2, causal=True)
    _, state = mixer(replace(tokens_on(5), grid=None))
    with pytest.raises(ValueError, match=r"got a state on a grid of extents \(3, 2\), which it takes whole"):
        mixer(tokens_on(3, 2), state)


def test_two_blocks_of_the_dilated_pattern_see_the_whole_stage() -> None:
    local, wide = dilated_pattern(NeighbourhoodSettings(window=7, heads=2), (56, 21, 6))
    assert local.dilation == 1
    assert (wide.rank, wide.window, wide.dilation) == (3, 7, (8, 3, 1))
    assert dilated_pattern(NeighbourhoodSettings(window=(3, 5), rank=2), (12, 10))[1].dilation == (4, 2)


def test_a_causal_ring_is_refused() -> None:
    with pytest.raises(ValueError, match="both causal and periodic"):
        made(window=2, causal=True)(tokens_on(5, periodic=True))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"window": (3, 3)}, r"window=\(3, 3\) depends on the number of axes, got rank=None; set rank"),
        ({"window": (3, 3), "rank": 3}, r"window=\(3, 3\) does not have one entry for each of rank=3 axes"),
        ({"relative_bias": True}, r"relative_bias=True depends on the number of axes"),
    ],
)
def test_settings_that_do_not_fit_the_axes_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        made(**settings)


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ConfigError, match="neighbourhood at width 8 cannot have 3 heads"):
        made(heads=3)


def test_counted_cost_is_projections_and_a_window_of_keys() -> None:
    assert made(window=3).cost(2, 20) == 2 * 20 * (4 * WIDTH**2 + 2 * 3 * WIDTH)
    assert made(window=7).cost(1, 20, Grid((4, 5), (False, False))) == 20 * (4 * WIDTH**2 + 2 * 4 * 5 * WIDTH)
