"""BSS-eval's ratio against least squares, and its answers where signals are odd."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import convolution_matrix

from armillary.domains.speech.metrics.distortion import LIMIT_DB, TAPS, sdr


def by_least_squares(estimate: np.ndarray, source: np.ndarray) -> float:
    """The nearest filtered source by a dense solve, with the tail that the filter adds."""
    table = convolution_matrix(source, TAPS)
    padded = np.pad(estimate, (0, TAPS - 1))
    target = table @ np.linalg.lstsq(table, padded)[0]
    return 10 * np.log10(np.square(target).sum() / np.square(padded - target).sum())


def one(estimate: np.ndarray, source: np.ndarray) -> float:
    """The ratio of one pair."""
    return float(sdr(torch.tensor(estimate)[None, None], torch.tensor(source)[None, None], None, 8000))


@pytest.mark.parametrize("samples", [2, 300, 511, 512, 513, 1500])
@pytest.mark.parametrize("noise", [0.02, 0.5, 3.0])
def test_it_is_the_least_squares_ratio_at_any_length(samples: int, noise: float) -> None:
    rng = np.random.default_rng(samples)
    source = rng.standard_normal(samples)
    estimate = np.convolve(source, [0.9, 0.3, -0.2])[:samples] + noise * rng.standard_normal(samples)
    assert one(estimate, source) == pytest.approx(by_least_squares(estimate, source), abs=1e-3)


def test_a_pure_tone_has_a_filter_too() -> None:
    rng = np.random.default_rng(0)
    tone = np.sin(0.3 * np.arange(3000))
    estimate = tone + 0.1 * rng.standard_normal(3000)
    assert one(estimate, tone) == pytest.approx(by_least_squares(estimate, tone), abs=0.05)


@settings(max_examples=10)
@given(scale=st.floats(1e-3, 1e3), delay=st.integers(0, 400), seed=st.integers(0, 99))
def test_scale_and_a_delay_within_the_filter_change_nothing(scale: float, delay: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    source = np.pad(rng.standard_normal(900), (0, 500))
    estimate = source + 0.2 * np.pad(rng.standard_normal(900), (0, 500))
    moved = scale * np.roll(estimate, delay)
    assert one(moved, np.roll(source, delay)) == pytest.approx(one(estimate, source), abs=1e-3)
    assert one(np.roll(source, delay), source) == pytest.approx(LIMIT_DB)


def test_padding_changes_nothing() -> None:
    rng = torch.Generator().manual_seed(0)
    estimates, sources = (torch.randn(2, 2, 1000, generator=rng) for _ in range(2))
    length = torch.tensor([1000, 700])
    whole = sdr(estimates, sources, length, 8000)
    torch.testing.assert_close(whole[0], sdr(estimates, sources, None, 8000)[0])
    torch.testing.assert_close(whole[1], sdr(estimates[1:, :, :700], sources[1:, :, :700], None, 8000)[0])


def test_a_silent_estimate_is_at_the_lower_end_and_the_source_itself_at_the_upper() -> None:
    source = np.random.default_rng(0).standard_normal(700)
    assert one(np.zeros(700), source) == -LIMIT_DB
    assert one(source, source) == LIMIT_DB
    assert one(np.full(1, 0.3), np.full(1, 0.5)) == LIMIT_DB


def test_nan_stays_nan_and_no_items_give_no_scores() -> None:
    assert np.isnan(one(np.full(700, np.nan), np.ones(700)))
    assert sdr(torch.zeros(0, 2, 100), torch.zeros(0, 2, 100), None, 8000).shape == (0, 2)
