"""Shifted windows beside the published algorithm of rolling and masking, and tables that change their size."""

from dataclasses import replace
from itertools import product

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from armillary.core.config.mixers import WindowSettings
from armillary.core.mixers import Window, resize_bias
from armillary.core.testing.mixer_grids import assert_wraps
from armillary.core.testing.sequences import assert_close, random_like, reseed
from armillary.core.tokens import Grid, Tokens

WIDTH = 8


def made(**settings: object) -> Window:
    reseed(0)
    mixer = Window(WIDTH, WindowSettings.model_validate({"heads": 2} | settings)).double()
    if mixer.relative_bias is not None:
        torch.nn.init.normal_(mixer.relative_bias.table)
    return mixer


def tokens_on(*extents: int, periodic: bool = False) -> Tokens:
    length = int(torch.tensor(extents).prod())
    values = random_like(torch.empty(2, length, WIDTH, dtype=torch.float64), 1)
    return Tokens(values, grid=Grid(extents, (periodic,) * len(extents)))


def rolled_and_masked(mixer: Window, tokens: Tokens, extents: tuple[int, int], shifts: tuple[int, int]) -> Tensor:
    """All pairs of tokens that share a rolled window and lie in the same region of the unrolled grid."""
    size, (rows, columns) = mixer.settings.window, extents
    table = mixer.relative_bias.table if mixer.relative_bias is not None else torch.zeros(0)
    places = list(product(range(rows), range(columns)))

    def window_of(place: tuple[int, int]) -> tuple[int, ...]:
        axes = list(zip(place, shifts, extents, strict=True))
        number = [(coordinate - shift) % extent // size for coordinate, shift, extent in axes]
        return (*number, *(int(coordinate < shift) for coordinate, shift, _ in axes))

    together = torch.tensor([[window_of(p) == window_of(q) for q in places] for p in places])
    offsets = [[(q[0] - p[0], q[1] - p[1]) for q in places] for p in places]
    inside = torch.tensor(offsets).clamp(1 - size, size - 1) + size - 1
    bias = table[:, inside[..., 0], inside[..., 1]].masked_fill(~together, -torch.inf)
    q, k, v = mixer.qkv(tokens.values).unflatten(-1, (3, 2, -1)).permute(2, 0, 3, 1, 4)
    mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias.expand(len(q), -1, -1, -1))
    return mixer.out(mixed.transpose(1, 2).flatten(2))


@pytest.mark.parametrize(
    ("extents", "shift", "rolled"),
    # One window holds an axis of three tokens, along which nothing is shifted.
    [((6, 9), False, (0, 0)), ((6, 9), True, (1, 1)), ((3, 6), False, (0, 0)), ((3, 6), True, (0, 1))],
)
def test_windows_are_those_of_rolling_and_masking(
    extents: tuple[int, int], shift: bool, rolled: tuple[int, int]
) -> None:
    mixer, tokens = made(window=3, shift=shift), tokens_on(*extents)
    assert_close(
        mixer(tokens)[0], rolled_and_masked(mixer, tokens, extents, rolled), "our windows and rolled ones", 1e-12
    )


@pytest.mark.parametrize(("token", "seen"), [(0, [0, 1]), (1, [0, 1]), (2, [2, 3, 4, 5]), (6, [6]), (5, [2, 3, 4, 5])])
def test_shifted_windows_begin_after_half_a_window(token: int, seen: list[int]) -> None:
    mixer, tokens = made(rank=1, window=4, shift=True), tokens_on(7)
    values = tokens.values.clone().requires_grad_()
    gradient = torch.autograd.grad(mixer(replace(tokens, values=values))[0][0, token].sum(), values)[0]
    assert (gradient[0].abs().amax(-1) > 0).nonzero().flatten().tolist() == seen


def test_an_axis_within_one_window_is_seen_as_a_whole_though_shifted() -> None:
    tokens = tokens_on(4)
    shifted, plain = (made(rank=1, window=5, shift=shift)(tokens)[0] for shift in (True, False))
    assert_close(shifted, plain, "four tokens in a window of five, shifted and not", 1e-12)


@pytest.mark.parametrize("shift", [False, True])
def test_padding_of_a_window_is_not_attended(shift: bool) -> None:
    mixer, block = made(window=4, shift=shift), tokens_on(5, 3)
    real = functional.pad(torch.ones(2, 5, 3, dtype=torch.bool), (0, 4, 0, 2))
    values = random_like(torch.empty(2, 7, 7, WIDTH, dtype=torch.float64), 5)
    values[real] = block.values.flatten(0, 1)
    padded = mixer(Tokens(values.flatten(1, 2), mask=real.flatten(1), grid=Grid((7, 7), (False, False))))[0]
    assert_close(padded[real.flatten(1)], mixer(block)[0].flatten(0, 1), "a block padded and alone", 1e-12)


@pytest.mark.parametrize("shift", [False, True])
def test_windows_of_a_periodic_grid_have_no_seam(shift: bool) -> None:
    mixer = made(window=2, shift=shift)
    assert_wraps(mixer, tokens_on(4, 6, periodic=True), (2, 4))
    moved = made(window=2, shift=not shift)
    values = tokens_on(4, 6, periodic=True).values.unflatten(1, (4, 6))
    turned = Tokens(values.roll((1, 1), (1, 2)).flatten(1, 2), grid=Grid((4, 6), (True, True)))
    straight = mixer(tokens_on(4, 6, periodic=True))[0].unflatten(1, (4, 6))
    actual = moved(turned)[0].unflatten(1, (4, 6))
    assert_close(actual, straight.roll((1, 1), (1, 2)), "moving the tokens and moving the windows", 1e-12)


def test_a_periodic_axis_that_the_windows_do_not_tile_is_refused() -> None:
    with pytest.raises(ValueError, match=r"window=4 and extents \(8, 6\); choose a window that divides 6"):
        made(window=4)(tokens_on(8, 6, periodic=True))


def test_a_resized_table_keeps_what_is_linear_in_the_offset() -> None:
    def slope(window: int) -> Tensor:
        return torch.linspace(-1, 1, 2 * window - 1, dtype=torch.float64)

    table = slope(4)[:, None] * 3 + slope(3)[None, :]
    resized = resize_bias(table[None], (7, 2))
    assert_close(resized[0], slope(7)[:, None] * 3 + slope(2)[None, :], "the resized and the true table", 1e-12)
    assert torch.equal(resize_bias(table[None], (4, 3))[0], table)
    assert resize_bias(table[None], (1, 3)).shape == (1, 1, 5)


def test_weights_of_another_window_are_loaded_with_a_resized_table() -> None:
    small, large = made(window=4), made(window=6)
    large.load_state_dict(small.state_dict())
    assert small.relative_bias is not None
    assert large.relative_bias is not None
    assert_close(large.relative_bias.table, resize_bias(small.relative_bias.table, (6, 6)), "tables", 0.0)


def test_counted_cost_includes_the_padding_of_windows() -> None:
    assert made(window=4).cost(2, 15, Grid((5, 3), (False, False))) == 2 * (4 * 15 * WIDTH**2 + 2 * 32 * 16 * WIDTH)


def test_a_published_block_has_its_number_of_parameters() -> None:
    # The first attention of Swin-T: width 96, 3 heads, window 7.
    mixer = Window(96, WindowSettings(heads=3, window=7))
    assert sum(parameter.numel() for parameter in mixer.parameters()) == 4 * (96 * 96 + 96) + 3 * 13 * 13
