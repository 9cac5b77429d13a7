"""Spectral gating against circular convolution, and filters laid out for other grids."""

import pytest
import torch
from torch.testing import assert_close

from armillary.core.config.mixers import SpectralSettings
from armillary.core.mixers import Spectral
from armillary.core.mixers.spectral import resized_filter
from armillary.core.tokens import Grid, Tokens

WIDTH = 3


def _mixer(*extents: int, std: float = 1.0) -> Spectral:
    torch.manual_seed(0)
    return Spectral(WIDTH, SpectralSettings(extents=extents, std=std)).double()


def _tokens(*extents: int, batch: int = 2, seed: int = 1) -> Tokens:
    generator = torch.Generator().manual_seed(seed)
    length = int(torch.tensor(extents).prod())
    values = torch.randn(batch, length, WIDTH, generator=generator, dtype=torch.float64)
    return Tokens(values, grid=Grid(extents, (True,) * len(extents)))


@pytest.mark.parametrize("extents", [(8,), (7,), (4, 6), (5, 4), (3, 4, 5), (1, 6), (6, 1)])
def test_the_gate_is_a_circular_convolution_with_one_real_kernel(extents):
    mixer, tokens = _mixer(*extents), _tokens(*extents)
    mixed = mixer(tokens)[0].unflatten(1, extents)
    axes = tuple(range(1, len(extents) + 1))
    impulse = torch.zeros_like(tokens.values[:1])
    impulse[:, 0] = 1
    kernel = mixer(tokens.with_values(impulse))[0].unflatten(1, extents)
    product = torch.fft.fftn(tokens.values.unflatten(1, extents), dim=axes) * torch.fft.fftn(kernel, dim=axes)
    assert_close(mixed, torch.fft.ifftn(product, dim=axes).real)


@pytest.mark.parametrize("extents", [(8,), (7,), (4, 6), (5, 3), (3, 4, 5)])
def test_a_filter_of_ones_changes_nothing(extents):
    mixer, tokens = _mixer(*extents), _tokens(*extents)
    with torch.no_grad():
        mixer.filter.copy_(torch.tensor([1.0, 0.0]).expand_as(mixer.filter))
    assert_close(mixer(tokens)[0], tokens.values)


@pytest.mark.parametrize(("extents", "shifts"), [((8,), (3,)), ((4, 6), (1, 5)), ((3, 4, 5), (2, 1, 4))])
def test_rolling_the_tokens_rolls_the_output(extents, shifts):
    mixer, tokens = _mixer(*extents), _tokens(*extents)
    axes = tuple(range(1, len(extents) + 1))

    def rolled(values):
        return values.unflatten(1, extents).roll(shifts, axes).flatten(1, len(extents))

    assert_close(mixer(tokens.with_values(rolled(tokens.values)))[0], rolled(mixer(tokens)[0]))


@pytest.mark.parametrize("kept", [(9,), (5, 7), (3, 5, 3)])
def test_a_finer_grid_of_a_band_limited_field_gives_the_same_output_on_the_coarse_points(kept):
    """Odd extents, so that no mode is its own mirror but the mean; three times as many points per axis."""
    mixer, coarse = _mixer(*kept), _tokens(*kept)
    axes, fine = tuple(range(1, len(kept) + 1)), tuple(3 * extent for extent in kept)
    modes = torch.fft.fftn(coarse.values.unflatten(1, kept), dim=axes, norm="forward")
    for axis, extent in zip(axes, kept, strict=True):
        padding = torch.zeros_like(modes.narrow(axis, 0, 1)).repeat_interleave(2 * extent, axis)
        half = extent // 2 + 1
        modes = torch.cat([modes.narrow(axis, 0, half), padding, modes.narrow(axis, half, extent - half)], axis)
    values = torch.fft.ifftn(modes, dim=axes, norm="forward").real
    mixed = mixer(Tokens(values.flatten(1, len(kept)), grid=Grid(fine, (True,) * len(kept))))[0].unflatten(1, fine)
    for axis in axes:
        mixed = mixed.index_select(axis, torch.arange(0, mixed.shape[axis], 3))
    assert_close(mixed.flatten(1, len(kept)), mixer(coarse)[0])


@pytest.mark.parametrize(("old", "new"), [((4, 6), (7, 9)), ((5, 4), (6, 4)), ((6, 5), (4, 3)), ((3,), (8,))])
def test_resizing_to_a_larger_grid_and_back_keeps_every_mode_that_both_have(old, new):
    weights = torch.randn(*old[:-1], old[-1] // 2 + 1, WIDTH, 2)
    there = resized_filter(weights, old, new)
    assert there.shape == (*new[:-1], new[-1] // 2 + 1, WIDTH, 2)
    back = resized_filter(there, new, old)
    kept = back != 0
    assert torch.equal(back[kept], weights[kept])
    assert kept.all() == all(first <= second for first, second in zip(old, new, strict=True))
    assert int((there != 0).sum()) == int(kept.sum())


def test_resizing_to_the_same_grid_changes_nothing():
    weights = torch.randn(4, 5, 4, WIDTH, 2)
    assert torch.equal(resized_filter(weights, (4, 5, 6), (4, 5, 6)), weights)


def test_low_modes_keep_their_place():
    weights = torch.zeros(4, 3, 1, 2)
    weights[1, 2, 0, 0], weights[-1, 0, 0, 0], weights[-2, 1, 0, 0] = 1.0, 2.0, 3.0
    larger = resized_filter(weights, (4, 4), (9, 7))
    assert [float(larger[1, 2, 0, 0]), float(larger[-1, 0, 0, 0]), float(larger[-2, 1, 0, 0])] == [1.0, 2.0, 3.0]
    assert float(larger.abs().sum()) == 6.0


def test_rows_of_many_lengths_give_what_they_give_alone():
    mixer = _mixer(12)
    lengths = torch.tensor([5, 20, 0, 5, 13, 1, 20])
    values = torch.randn(7, 20, WIDTH, dtype=torch.float64)
    padded = mixer(Tokens(values, mask=torch.arange(20) < lengths[:, None]))[0]
    for row, length in enumerate(lengths.tolist()):
        alone = mixer(Tokens(values[row : row + 1, :length]))[0]
        assert_close(padded[row : row + 1, :length], alone)
        assert not padded[row, length:].any()


def test_a_gap_inside_a_row_counts_as_zeros():
    mixer, values = _mixer(9), torch.randn(1, 9, WIDTH, dtype=torch.float64)
    mask = torch.ones(1, 9, dtype=torch.bool)
    mask[:, 4] = False
    assert_close(mixer(Tokens(values, mask=mask))[0], mixer(Tokens(values * mask[..., None]))[0])


def test_a_masked_token_of_a_periodic_axis_leaves_the_period_as_it_is():
    mixer, tokens = _mixer(8), _tokens(8, batch=1)
    mask = torch.arange(8)[None] < 6
    expected = mixer(tokens.with_values(tokens.values * mask[..., None]))[0]
    assert_close(mixer(Tokens(tokens.values, mask=mask, grid=tokens.grid))[0], expected)


def test_single_precision_is_close_to_double():
    mixer, tokens = _mixer(16, 12), _tokens(16, 12)
    exact = mixer(tokens)[0].detach()
    single = mixer.float()(tokens.with_values(tokens.values.float()))[0].detach().double()
    assert float((single - exact).norm() / exact.norm()) < 1e-6


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (_tokens(9), r"a grid of 2 axes, got extents \(9,\)"),
        (Tokens(torch.zeros(1, 6, WIDTH)), "got tokens without a grid"),
        (Tokens(torch.zeros(1, 7, WIDTH), grid=Grid((2, 3), (False, False)), prefix=1), "1 prefix tokens"),
    ],
)
def test_tokens_that_do_not_lie_on_the_grid_are_refused(tokens, message):
    with pytest.raises(ValueError, match=message):
        _mixer(4, 4)(tokens)


def test_half_of_the_modes_of_every_channel_are_stored_as_real_pairs():
    assert _mixer(4, 6).filter.shape == (4, 4, WIDTH, 2)
    assert abs(float(_mixer(64, std=0.02).filter.detach().std()) - 0.02) < 0.004
