"""Positions added to tokens."""

import math

import pytest
import torch
from pydantic import ValidationError
from torch.testing import assert_close

from armillary.core.config.embeddings import (
    ContinuousTimeSettings,
    LearnedPositionSettings,
    NoPositionSettings,
    SinusoidalSettings,
)
from armillary.core.config.parts import POSITIONS, build_part
from armillary.core.embeddings import sinusoidal
from armillary.core.tokens import Tokens


def test_the_sinusoidal_encoding_is_sine_on_even_and_cosine_on_odd_features():
    encoding = sinusoidal(torch.tensor([[0.0, 3.0]], dtype=torch.float64), 4, base=10000.0)
    expected = [math.sin(3), math.cos(3), math.sin(0.03), math.cos(0.03)]
    assert_close(encoding[0, 1], torch.tensor(expected, dtype=torch.float64))
    assert encoding[0, 0].tolist() == [0.0, 1.0, 0.0, 1.0]


def test_an_odd_width_ends_with_a_sine():
    encoding = sinusoidal(torch.tensor([[2.0]], dtype=torch.float64), 3)
    assert_close(encoding[0, 0, 2], torch.tensor(2.0 * 10000 ** (-2 / 3), dtype=torch.float64).sin())


def test_without_positions_the_index_counts():
    part = build_part(POSITIONS, SinusoidalSettings(), 6)
    values = torch.zeros(2, 5, 6)
    by_index = part(Tokens(values))
    by_position = part(Tokens(values, positions=torch.arange(5.0).reshape(1, 5, 1).expand(2, 5, 1)))
    assert_close(by_index.values, by_position.values)
    assert by_index.values.abs().sum() > 0


def test_several_coordinates_are_refused_where_one_is_read():
    tokens = Tokens(torch.zeros(1, 2, 6), positions=torch.zeros(1, 2, 3))
    with pytest.raises(ValueError, match="expected positions with one coordinate, got 3; use continuous_time"):
        build_part(POSITIONS, SinusoidalSettings(), 6)(tokens)


def test_learned_positions_add_their_rows_and_do_not_decay():
    part = build_part(POSITIONS, LearnedPositionSettings(max_length=7), 4)
    tokens = part(Tokens(torch.ones(2, 5, 4)))
    assert_close(tokens.values[1], 1 + part.table[:5])
    assert part.table.no_weight_decay
    with pytest.raises(ValueError, match="end at 7 tokens, got 8"):
        part(Tokens(torch.ones(2, 8, 4)))


def test_continuous_time_has_the_periods_it_was_asked_for():
    settings = ContinuousTimeSettings(frequencies=3, shortest=1.0, longest=100.0)
    part = build_part(POSITIONS, settings, 8)
    assert_close(2 * math.pi / part.angular, torch.tensor([1.0, 10.0, 100.0]))


def test_continuous_time_repeats_after_the_longest_of_whole_periods():
    part = build_part(POSITIONS, ContinuousTimeSettings(frequencies=3, shortest=1.0, longest=100.0), 8).double()
    times = torch.tensor([[[0.3], [100.3]]], dtype=torch.float64)
    first, second = part.encode(times)[0]
    # Angular frequencies were rounded to float32 once, 1e-7 of 630 rad.
    assert_close(first, second, rtol=0, atol=1e-3)
    assert not torch.allclose(first, part.encode(times + 0.4)[0, 0], atol=1e-2)


def test_continuous_time_reads_every_axis():
    part = build_part(POSITIONS, ContinuousTimeSettings(axes=2, frequencies=4), 8)
    tokens = Tokens(torch.zeros(1, 3, 8), positions=torch.randn(1, 3, 2))
    moved = Tokens(tokens.values, positions=tokens.positions + torch.tensor([0.0, 0.3]))
    assert not torch.allclose(part(tokens).values, part(moved).values)
    with pytest.raises(ValueError, match="expected 2 coordinates, got 1"):
        part(Tokens(torch.zeros(1, 3, 8), positions=torch.zeros(1, 3, 1)))
    with pytest.raises(ValueError, match="needs physical positions"):
        part(Tokens(torch.zeros(1, 3, 8)))


def test_no_position_changes_nothing():
    tokens = Tokens(torch.ones(1, 2, 3))
    assert build_part(POSITIONS, NoPositionSettings(), 3)(tokens) is tokens


def test_periods_in_the_wrong_order_are_refused():
    with pytest.raises(ValidationError, match=r"longest period 1\.0 is below shortest 10\.0"):
        ContinuousTimeSettings(shortest=10.0, longest=1.0)
