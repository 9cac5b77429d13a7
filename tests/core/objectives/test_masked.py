"""The masked objective: what is hidden, that all comes back, and what is judged."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from armillary.core.objectives.masked import (
    Hiding,
    draw_hiding,
    hide,
    item_hiding,
    item_noise,
    keep_visible,
    masked_errors,
    masked_loss,
    num_visible,
    put_back,
)
from armillary.core.tokens import Grid, Tokens

ratios = st.floats(0.01, 0.99)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tokens(seed: int, batch: int = 3, length: int = 12, prefix: int = 0, mask: Tensor | None = None) -> Tokens:
    """Tokens whose first feature is their place."""
    values = torch.randn(batch, length, 4, generator=generator(seed))
    values[:, :, 0] = torch.arange(length)
    return Tokens(values, mask=mask, positions=values[:, :, :1] / 10, prefix=prefix)


def ragged(lengths: list[int], length: int) -> Tensor:
    return torch.arange(length) < torch.tensor(lengths).unsqueeze(1)


@pytest.mark.parametrize(
    ("length", "ratio", "number"),
    [
        (196, 0.9, 19),
        (196, 0.75, 49),
        (10, 0.9, 1),
        (100, 0.9, 10),
        (4, 0.01, 3),
        (3, 0.9, 1),
        (1, 0.5, 1),
        (0, 0.5, 0),
    ],
)
def test_the_floor_of_what_is_not_hidden_stays_and_one_at_least(length, ratio, number):
    assert num_visible(length, ratio) == number


@pytest.mark.parametrize("ratio", [0.0, 1.0, -0.1, float("nan")])
def test_a_ratio_that_hides_all_or_nothing_is_refused(ratio):
    with pytest.raises(ValueError, match="between 0 and 1"):
        num_visible(10, ratio)


@given(st.integers(0, 1000), st.integers(1, 40), ratios)
def test_the_tokens_of_lowest_noise_stay_in_the_order_of_their_places(seed: int, length: int, ratio: float):
    noise = torch.rand(2, length, generator=generator(seed))
    hiding = hide(noise, ratio)
    number = num_visible(length, ratio)
    expected = noise.argsort(1)[:, :number].sort(1).values
    assert torch.equal(hiding.visible, expected)
    assert torch.equal(hiding.hidden.sum(1), torch.full((2,), length - number))
    assert not hiding.hidden.gather(1, hiding.visible).any()


@given(st.integers(0, 1000), st.integers(0, 3), st.integers(1, 20), ratios)
def test_what_stays_comes_back_to_its_place_and_the_mask_token_fills_the_rest(
    seed: int, prefix: int, length: int, ratio: float
):
    whole = tokens(seed, length=prefix + length, prefix=prefix)
    hiding = draw_hiding(whole, ratio, generator(seed))
    seen = keep_visible(whole, hiding)
    assert seen.values.shape[1] == prefix + num_visible(length, ratio)
    assert_close(seen.positions, seen.values[:, :, :1] / 10)
    fill = torch.full((4,), -7.0)
    back = put_back(seen, hiding, fill, whole)
    body = torch.where(hiding.hidden.unsqueeze(-1), fill, whole.values[:, prefix:])
    assert torch.equal(back.values, torch.cat((whole.values[:, :prefix], body), 1))
    assert (back.positions is whole.positions, back.prefix) == (True, prefix)


@given(st.integers(0, 1000), st.lists(st.integers(0, 12), min_size=1, max_size=4), ratios)
def test_padding_is_neither_seen_nor_judged_and_each_row_keeps_its_own_share(
    seed: int, lengths: list[int], ratio: float
):
    mask = ragged(lengths, 12)
    whole = tokens(seed, batch=len(lengths), mask=mask)
    hiding = draw_hiding(whole, ratio, generator(seed))
    seen = keep_visible(whole, hiding)
    numbers = [num_visible(length, ratio) for length in lengths]
    assert seen.lengths().tolist() == numbers
    assert hiding.hidden.sum(1).tolist() == [length - kept for length, kept in zip(lengths, numbers, strict=True)]
    assert not (hiding.hidden & ~mask).any()
    fill = torch.full((4,), -7.0)
    back = put_back(seen, hiding, fill, whole)
    stays = mask & ~hiding.hidden
    assert torch.equal(back.values[stays], whole.values[stays])
    assert torch.equal(back.values[~stays], fill.expand(int((~stays).sum()), -1))


def test_a_mask_of_real_tokens_alone_changes_nothing():
    plain, masked = tokens(1), tokens(1, mask=torch.ones(3, 12, dtype=torch.bool))
    one, other = (draw_hiding(each, 0.7, generator(3)) for each in (plain, masked))
    assert torch.equal(one.visible, other.visible)
    assert torch.equal(one.restore, other.restore)
    assert torch.equal(one.hidden, other.hidden)


def test_the_visible_tokens_lie_on_no_grid_and_get_it_back():
    whole = Tokens(torch.randn(2, 13, 4), grid=Grid((3, 4), (False, False)), prefix=1)
    hiding = draw_hiding(whole, 0.5, generator(0))
    seen = keep_visible(whole, hiding)
    assert (seen.grid, seen.prefix) == (None, 1)
    wider = seen.with_values(torch.randn(2, 7, 9))
    assert put_back(wider, hiding, torch.zeros(9), whole).grid == whole.grid


def test_segments_go_with_their_tokens():
    segments = torch.tensor([[0, 0, 0, 1, 1, 1]])
    whole = Tokens(torch.arange(6.0).reshape(1, 6, 1), segments=segments)
    seen = keep_visible(whole, draw_hiding(whole, 0.4, generator(0)))
    assert torch.equal(seen.segments, (seen.values[..., 0] >= 3).long())


@given(st.integers(0, 1000))
def test_masks_depend_on_the_generator_alone(seed: int):
    one, again = (draw_hiding(tokens(seed + k), 0.75, generator(seed)) for k in (0, 1))
    other = draw_hiding(tokens(seed), 0.75, generator(seed + 1))
    assert torch.equal(one.hidden, again.hidden)
    assert not torch.equal(one.hidden, other.hidden)


def test_every_token_is_hidden_as_often_as_the_others():
    hidden = draw_hiding(Tokens(torch.zeros(4000, 10, 1)), 0.7, generator(0)).hidden
    # Deviation of a share of 0.7 in 4,000 draws: 0.007.
    assert_close(hidden.float().mean(0), torch.full((10,), 0.7), atol=0.03, rtol=0)


def test_masks_of_an_index_do_not_depend_on_company_and_differ_from_item_to_item():
    whole = tokens(0, batch=5, length=40)
    hidden = item_hiding(whole, 0.8, torch.tensor([3, 9, 0, 2, 9])).hidden
    alone = item_hiding(tokens(1, batch=1, length=40), 0.8, torch.tensor([9])).hidden
    assert torch.equal(hidden[1], alone[0])
    assert torch.equal(hidden[1], hidden[4])
    assert len({tuple(row.tolist()) for row in hidden}) == 4


def test_the_noise_of_indices_is_uniform_and_neighbours_are_unlike():
    noise = item_noise(torch.arange(2000), 50)
    assert noise.min() >= 0
    assert noise.max() < 1
    counts = torch.histc(noise, 20, 0, 1)
    # 5,000 in each bin, deviation 69.
    assert_close(counts, torch.full((20,), 5000.0), atol=350, rtol=0)
    centred = noise - 0.5
    for one, other in ((centred[1:], centred[:-1]), (centred[:, 1:], centred[:, :-1])):
        # A correlation of none has deviation 0.003 over 1e5 pairs.
        assert abs((one * other).mean().item() * 12) < 0.02


def test_the_loss_by_hand():
    prediction = torch.tensor([[[1.0, 3.0], [0.0, 0.0]], [[5.0, 5.0], [2.0, 2.0]]])
    hidden = torch.tensor([[True, False], [True, True]])
    target = torch.zeros(2, 2, 2)
    # Tokens: (1 + 9) / 2 = 5 and 25 and 4; the visible one does not count.
    assert masked_loss(prediction, target, hidden).item() == pytest.approx(34 / 3)
    assert masked_errors(prediction, target, hidden).tolist() == pytest.approx([5.0, 14.5])


def test_visible_tokens_get_no_gradient_and_hidden_ones_do():
    prediction = torch.randn(2, 6, 3, requires_grad=True)
    hidden = draw_hiding(Tokens(torch.zeros(2, 6, 1)), 0.5, generator(0)).hidden
    masked_loss(prediction, torch.zeros(2, 6, 3), hidden).backward()
    assert torch.equal(prediction.grad.abs().sum(-1) > 0, hidden)


def test_where_nothing_is_hidden_the_loss_is_zero_and_the_error_unknown():
    nothing = torch.zeros(2, 3, dtype=torch.bool)
    assert masked_loss(torch.ones(2, 3, 1), torch.zeros(2, 3, 1), nothing) == 0
    assert masked_errors(torch.ones(2, 3, 1), torch.zeros(2, 3, 1), nothing).isnan().all()


def test_half_precision_is_summed_in_full():
    prediction, target = torch.randn(2, 3, 4).bfloat16(), torch.randn(2, 3, 4)
    found = masked_loss(prediction, target, torch.ones(2, 3, dtype=torch.bool))
    assert_close(found, (prediction.float() - target).square().mean())


def test_the_mask_token_learns_and_takes_the_precision_of_the_tokens():
    whole = Tokens(torch.zeros(1, 4, 2, dtype=torch.bfloat16))
    hiding = draw_hiding(whole, 0.5, generator(0))
    fill = torch.zeros(2, requires_grad=True)
    back = put_back(keep_visible(whole, hiding), hiding, fill, whole)
    assert back.values.dtype == torch.bfloat16
    back.values.sum().backward()
    assert fill.grad.tolist() == [2.0, 2.0]


def test_the_inverse_permutation_is_one():
    hiding: Hiding = hide(torch.rand(2, 9, generator=generator(0)), 0.6)
    assert torch.equal(hiding.restore.sort(1).values, torch.arange(9).expand(2, -1))
    assert torch.equal(hiding.restore.gather(1, hiding.visible), torch.arange(3).expand(2, -1))
