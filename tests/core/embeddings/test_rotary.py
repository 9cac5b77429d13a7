"""Rotary positions."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from armillary.core.embeddings.rotary import apply_rotary


def _normal(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 10_000),
    width=st.integers(1, 9),
    shift=st.floats(-1e4, 1e4),
    gap=st.floats(-100, 100),
)
def test_a_product_of_turned_features_depends_on_the_difference_of_positions_alone(seed, width, shift, gap):
    query, key = _normal(seed, 1, 2, 3, width), _normal(seed + 1, 1, 2, 3, width)
    there = torch.tensor([[0.0, 1.5, -7.0]], dtype=torch.float64)

    def product(offset: float) -> torch.Tensor:
        return (apply_rotary(query, there + offset) * apply_rotary(key, there + offset + gap)).sum(-1)

    # Angles up to 1e4 rad carry a rounding of about 1e-12.
    assert_close(product(shift), product(0.0), rtol=0, atol=1e-9)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), width=st.integers(1, 9), position=st.floats(-1e4, 1e4))
def test_turning_keeps_lengths(seed, width, position):
    x = _normal(seed, 2, 1, 1, width)
    turned = apply_rotary(x, torch.full((2, 1), position, dtype=torch.float64))
    assert_close(turned.norm(dim=-1), x.norm(dim=-1))


def test_the_first_pair_turns_by_one_radian_a_unit():
    x = torch.zeros(1, 1, 1, 4, dtype=torch.float64)
    x[..., 0] = 1.0
    turned = apply_rotary(x, torch.full((1, 1), 0.5, dtype=torch.float64))
    expected = torch.tensor([0.5, 0.0, 0.5, 0.0], dtype=torch.float64)
    assert_close(turned[0, 0, 0], torch.stack((expected[0].cos(), expected[1], expected[2].sin(), expected[3])))


def test_the_slow_pair_turns_by_the_base():
    x = torch.zeros(1, 1, 1, 4, dtype=torch.float64)
    x[..., 1] = 1.0
    turned = apply_rotary(x, torch.full((1, 1), 100.0, dtype=torch.float64), base=10000.0)
    assert_close(turned[0, 0, 0, 1], torch.tensor(1.0, dtype=torch.float64).cos())
    assert_close(turned[0, 0, 0, 3], torch.tensor(1.0, dtype=torch.float64).sin())


def test_the_last_of_an_odd_number_of_features_stays():
    x = _normal(3, 2, 2, 5, 7)
    turned = apply_rotary(x, _normal(4, 2, 5))
    assert torch.equal(turned[..., -1], x[..., -1])
    assert not torch.allclose(turned[..., :-1], x[..., :-1])


def test_half_precision_features_are_turned_by_exact_angles():
    x = _normal(5, 1, 2, 3, 8)
    positions = torch.tensor([[0.0, 1000.25, 4000.5]])
    exact = apply_rotary(x.bfloat16().double(), positions.double())
    half = apply_rotary(x.bfloat16(), positions)
    assert half.dtype == torch.bfloat16
    # One rounding to bfloat16 (8 bits) of values below 4, and angles in float32.
    assert_close(half.double(), exact, rtol=0, atol=2e-2)


def test_empty_sequences_and_batches_pass():
    assert apply_rotary(torch.zeros(0, 2, 3, 4), torch.zeros(0, 3)).shape == (0, 2, 3, 4)
    assert apply_rotary(torch.zeros(2, 2, 0, 4), torch.zeros(2, 0)).shape == (2, 2, 0, 4)
