"""Scores of voices: in the order of the sources, beside those of the mixture, defined for odd signals."""

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from armillary.domains.speech.metrics.scores import scores

RATE = 8000
SLOW = ("sdr", "stoi", "pesq")


def by_formula(estimate: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    """SI-SDR [dB] as it is defined."""
    estimate, source = (signal.double() - signal.double().mean(-1, keepdim=True) for signal in (estimate, source))
    target = (estimate * source).sum(-1, keepdim=True) / source.square().sum(-1, keepdim=True) * source
    return 10 * (target.square().sum(-1) / (estimate - target).square().sum(-1)).log10()


def voices(num: int, samples: int = 4000, seed: int = 0) -> torch.Tensor:
    """Noises with envelopes (2, num, samples)."""
    generator = torch.Generator().manual_seed(seed)
    level = torch.rand(2, num, samples // 500 + 1, generator=generator).repeat_interleave(500, -1)[..., :samples]
    return 0.1 * level * torch.randn(2, num, samples, generator=generator)


@pytest.mark.parametrize("num", [1, 2, 3, 4, 5])
def test_estimates_in_any_order_get_the_scores_of_their_own_sources(num: int) -> None:
    sources = voices(num)
    noisy = sources + 0.03 * torch.randn(sources.shape, generator=torch.Generator().manual_seed(1))
    expected = by_formula(noisy, sources).float()
    for order in list(permutations(range(num)))[:7]:
        found = scores(noisy[:, list(order)], sources, sources.sum(1), None, RATE, ("si_sdr",))
        torch.testing.assert_close(found["si_sdr"], expected, rtol=0, atol=1e-3)


def test_the_mixture_is_judged_beside() -> None:
    sources = voices(2)
    mixture = sources.sum(1) + 0.01
    found = scores(sources, sources, mixture, None, RATE, ("si_sdr",))
    expected = by_formula(mixture[:, None].expand_as(sources), sources).float()
    torch.testing.assert_close(found["si_sdr_mixture"], expected, rtol=0, atol=1e-3)


def test_the_mixture_taken_for_every_voice_gains_exactly_nothing() -> None:
    sources = voices(2, 9000)
    mixture = sources.sum(1)
    found = scores(mixture[:, None].expand_as(sources), sources, mixture, None, RATE, SLOW)
    for name in ("si_sdr", *SLOW):
        assert torch.equal(found[name], found[f"{name}_mixture"]), name


def test_only_the_scores_that_are_asked_for_are_computed() -> None:
    sources = voices(2)
    found = scores(sources, sources, sources.sum(1), None, RATE, ("stoi",))
    assert set(found) == {"si_sdr", "si_sdr_mixture", "stoi", "stoi_mixture"}


@settings(max_examples=5)
@given(st.floats(1e-2, 1e2), st.integers(0, 50))
def test_scale_of_the_estimates_changes_no_score(scale: float, seed: int) -> None:
    sources = voices(2, 4000, seed)
    noisy = sources + 0.2 * sources.flip(1)
    one = scores(noisy, sources, sources.sum(1), None, RATE, ("sdr", "stoi"))
    other = scores(scale * noisy, sources, sources.sum(1), None, RATE, ("sdr", "stoi"))
    for name, value in one.items():
        torch.testing.assert_close(other[name], value, rtol=1e-4, atol=1e-3)


def test_what_stands_beyond_the_length_does_not_matter() -> None:
    sources = voices(2, 9000)
    noisy, mixture = sources + 0.3 * sources.flip(1), sources.sum(1)
    length = torch.tensor([9000, 5000])
    found = scores(noisy, sources, mixture, length, RATE, SLOW)
    cut = scores(noisy[1:, :, :5000], sources[1:, :, :5000], mixture[1:, :5000], None, RATE, SLOW)
    for name, value in cut.items():
        torch.testing.assert_close(found[name][1], value[0], rtol=1e-4, atol=1e-3)


def test_a_silent_voice_has_no_score_and_leaves_the_other_one_alone() -> None:
    sources = voices(2, 9000)
    sources[0, 1] = 0.0
    estimates = sources + 0.01 * voices(2, 9000, 5)
    found = scores(estimates, sources, sources.sum(1), None, RATE, SLOW)
    for name, value in found.items():
        assert torch.isnan(value[0, 1]), name
        assert torch.isfinite(value[0, 0]), name
        assert torch.isfinite(value[1]).all(), name


def test_silent_estimates_are_at_the_lower_end() -> None:
    sources = voices(2, 9000)
    found = scores(torch.zeros_like(sources), sources, sources.sum(1), None, RATE, ("sdr", "stoi"))
    assert (found["si_sdr"] == -80).all()
    assert (found["sdr"] == -80).all()
    assert (found["stoi"] == 0).all()


def test_perfect_estimates_are_at_the_upper_end() -> None:
    sources = voices(2, 9000)
    found = scores(sources.flip(1), sources, sources.sum(1), None, RATE, SLOW)
    assert (found["si_sdr"] > 79.9).all()
    assert (found["sdr"] > 79.9).all()
    np.testing.assert_allclose(found["stoi"], 1, atol=1e-6)
    assert (found["pesq"] > 4.5).all()


def test_identical_sources_have_one_score() -> None:
    sources = voices(1, 9000).expand(-1, 2, -1).clone()
    found = scores(sources, sources, sources.sum(1), None, RATE, ("sdr",))
    assert (found["si_sdr"] > 79.9).all()
    assert (found["si_sdr_mixture"] > 79.9).all()


@pytest.mark.parametrize("samples", [0, 1])
def test_a_signal_of_one_sample_or_none_has_no_score(samples: int) -> None:
    sources = torch.ones(1, 2, samples)
    for name, value in scores(sources, sources, sources.sum(1), None, RATE, SLOW).items():
        assert torch.isnan(value).all(), name
