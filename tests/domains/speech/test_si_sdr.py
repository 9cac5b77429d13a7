"""SI-SDR: against an independent one, and where the formula alone has no answer."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close
from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

from armillary.domains.speech.si_sdr import limited, quietness, si_sdr, si_sdr_pairs

LIMIT = 80.0


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def at(decibel: float, seed: int = 0, samples: int = 4000) -> tuple[Tensor, Tensor]:
    """An estimate that lies this far above its error, and its source."""
    source, error = noise(1, 1, samples, seed=seed).double(), noise(1, 1, samples, seed=seed + 1).double()
    source, error = source - source.mean(), error - error.mean()
    error = error - (error * source).sum() / source.square().sum() * source
    error = error * (source.square().sum() / error.square().sum()).sqrt() * 10 ** (-decibel / 20)
    return (source + error).float(), source.float()


@pytest.mark.parametrize("decibel", [-40.0, -10.0, 0.0, 10.0, 30.0, 60.0])
@pytest.mark.parametrize("scale", [1e-4, 1.0, 300.0])
@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_it_tells_how_far_an_estimate_is_above_its_error_whatever_scale_and_offset(decibel, scale, offset):
    estimate, source = at(decibel)
    found = si_sdr(scale * (estimate + offset), source - offset)
    assert float(found) == pytest.approx(decibel, abs=0.05)


def test_it_agrees_with_an_independent_one():
    estimates, sources = noise(3, 2, 500), noise(3, 2, 500, seed=1)
    sources = sources + estimates * torch.tensor([[0.1, 1.0]]).unsqueeze(-1)
    expected = scale_invariant_signal_distortion_ratio(estimates.double(), sources.double(), zero_mean=True)
    assert_close(si_sdr(estimates, sources), expected.float(), atol=1e-3, rtol=0)


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 1000))
def test_all_pairs_at_once_are_the_pairs_one_by_one(outputs, voices, seed):
    estimates, sources = noise(2, outputs, 300, seed=seed), noise(2, voices, 300, seed=seed + 1)
    pairs = si_sdr_pairs(estimates, sources)
    for output in range(outputs):
        repeated = estimates[:, output : output + 1].expand(-1, voices, -1)
        # Close to no likeness the share is so small that its rounding shows.
        assert_close(pairs[:, output], si_sdr(repeated, sources), atol=0.05, rtol=1e-3)


@pytest.mark.parametrize("decibel", [-30.0, 0.0, 20.0, 40.0])
def test_pairs_are_exact_up_to_forty_decibels(decibel):
    estimate, source = at(decibel)
    assert float(si_sdr_pairs(estimate, source)) == pytest.approx(decibel, abs=0.02)


@given(st.integers(1, 60), st.integers(0, 1000))
def test_what_stands_beyond_the_length_changes_nothing(length, seed):
    estimates, sources = noise(2, 1, 2, 60, seed=seed).double()
    estimates[..., length:], sources[..., length:] = 1e3, float("nan")
    told = torch.tensor([length])
    for measure in (si_sdr, si_sdr_pairs):
        assert_close(measure(estimates, sources, told), measure(estimates[..., :length], sources[..., :length]))


@pytest.mark.parametrize("silence", [0.0, 0.25, -1e-3])
def test_silence_has_answers(silence):
    """A constant is silence: it is nothing but its mean."""
    quiet, loud = torch.full((1, 1, 100), silence), noise(1, 1, 100)
    for measure in (si_sdr, si_sdr_pairs):
        assert measure(quiet, loud).item() == pytest.approx(-LIMIT)
        assert measure(loud, quiet).item() == pytest.approx(-LIMIT)
        assert measure(quiet, torch.zeros(1, 1, 100)).item() == pytest.approx(LIMIT)


@pytest.mark.parametrize("samples", [0, 1, 2, 16000])
def test_identical_signals_are_at_the_upper_limit(samples):
    signal = noise(1, 1, samples)
    assert si_sdr(signal, signal).item() == pytest.approx(LIMIT)
    assert si_sdr(signal, -3 * signal).item() == pytest.approx(LIMIT)


def test_one_sample_is_silence():
    assert si_sdr(torch.ones(1, 1, 1), torch.full((1, 1, 1), 2.0)).item() == pytest.approx(LIMIT)


def test_signals_with_nothing_in_common_are_at_the_lower_limit():
    first, second = torch.zeros(2, 1, 1, 8)
    first[..., :2], second[..., 4:6] = torch.tensor([1.0, -1.0]), torch.tensor([1.0, -1.0])
    assert si_sdr(first, second).item() == pytest.approx(-LIMIT)


@pytest.mark.parametrize("ours", [0.0, 1.0])
@pytest.mark.parametrize("theirs", [0.0, 1.0])
def test_gradients_are_finite_in_silence_too(ours, theirs):
    estimate = (ours * noise(1, 2, 50)).requires_grad_()
    (si_sdr(estimate, theirs * noise(1, 2, 50, seed=1)).sum() + si_sdr_pairs(estimate, estimate).sum()).backward()
    assert torch.isfinite(estimate.grad).all()


def test_nan_does_not_pass_for_silence():
    bad = noise(1, 1, 10)
    bad[0, 0, 3] = float("nan")
    assert si_sdr(bad, noise(1, 1, 10, seed=1)).isnan().all()
    assert si_sdr_pairs(bad, noise(1, 1, 10, seed=1)).isnan().all()


@pytest.mark.parametrize("decibel", [0.0, 30.0])
def test_an_hour_does_not_wear_out_single_precision(decibel):
    estimate, source = at(decibel, samples=4_000_000)
    offset = 0.3 + torch.linspace(0, 0.1, 4_000_000)  # a drift keeps sums from cancelling by luck
    estimate, source = estimate + offset, source + offset
    expected = si_sdr(estimate.double(), source.double())
    assert_close(si_sdr(estimate, source).double(), expected, atol=1e-3, rtol=0)
    assert_close(si_sdr_pairs(estimate, source).double(), expected[..., None], atol=2e-2, rtol=0)


@pytest.mark.parametrize(("amplitude", "decibel"), [(0.0, -30.0), (0.1, -19.586), (1.0, 0.00434)])
@pytest.mark.parametrize("level", [1e-3, 1.0, 50.0])
def test_quietness_is_relative_to_the_mixture_and_ends_at_minus_thirty_decibels(amplitude, decibel, level):
    mixture = level * noise(1, 200)
    assert quietness(amplitude * mixture.unsqueeze(1), mixture).item() == pytest.approx(decibel, abs=1e-3)


def test_quietness_beside_a_silent_mixture_is_finite():
    assert torch.isfinite(quietness(noise(1, 2, 10), torch.zeros(1, 10))).all()
    assert quietness(torch.zeros(1, 1, 10), torch.zeros(1, 10)).item() == pytest.approx(-30.0)


def test_quietness_counts_the_length_only():
    mixture, estimate = noise(1, 20), 0.1 * noise(1, 1, 20, seed=1)
    told = torch.tensor([7])
    assert_close(quietness(estimate, mixture, told), quietness(estimate[..., :7], mixture[:, :7]))


@pytest.mark.parametrize(("decibel", "expected"), [(-80.0, -80.0), (0.0, -0.00434), (20.0, 19.586), (80.0, 29.9999)])
def test_a_limited_ratio_is_the_ratio_below_twenty_decibels_and_ends_at_thirty(decibel, expected):
    assert limited(torch.tensor([decibel]).double()).item() == pytest.approx(expected, abs=1e-3)
