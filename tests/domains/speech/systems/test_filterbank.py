"""Samples to features and back, against torch's own convolutions."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch.nn import functional
from torch.testing import assert_close

from armillary.domains.speech.systems.filterbank import Filterbank
from armillary.domains.speech.systems.settings import FilterbankSettings

SIZES = ((16, 8), (8, 8), (20, 8), (5, 2), (7, 3), (1, 1))


def bank(kernel: int = 16, stride: int = 8, relu: bool = True) -> Filterbank:
    torch.manual_seed(0)
    return Filterbank(FilterbankSettings(filters=6, kernel=kernel, stride=stride, relu=relu)).double()


@pytest.mark.parametrize(("kernel", "stride"), SIZES)
@pytest.mark.parametrize("relu", [True, False])
def test_encoding_is_a_strided_convolution(kernel, stride, relu):
    chosen, samples = bank(kernel, stride, relu), torch.randn(2, 4 * stride + kernel).double()
    expected = functional.conv1d(samples.unsqueeze(1), chosen.analysis.weight.unsqueeze(1), stride=stride)
    expected = expected.relu() if relu else expected
    assert_close(chosen.encode(samples), expected.mT)


@pytest.mark.parametrize(("kernel", "stride"), SIZES)
def test_decoding_is_the_transposed_convolution(kernel, stride):
    chosen, features = bank(kernel, stride), torch.randn(2, 5, 3, 6).double()
    rows = features.permute(0, 2, 3, 1).flatten(0, 1)
    expected = functional.conv_transpose1d(rows, chosen.synthesis.weight.mT.unsqueeze(1), stride=stride)
    signals = chosen.add(chosen.decode(features))
    assert signals.shape == (2, 3, 5 * stride + chosen.overlap)
    whole = 4 * stride + kernel
    assert_close(signals[..., :whole], expected.unflatten(0, (2, 3)).squeeze(2))
    assert (signals[..., whole:] == 0).all()


@settings(max_examples=200)
@given(st.integers(1, 100), st.integers(1, 12), st.integers(0, 20))
def test_every_sample_is_seen_by_some_step_and_none_more_than_is_needed(samples, stride, more):
    chosen = bank(stride + more, stride)
    steps = chosen.steps(samples)
    assert (steps - 1) * stride + chosen.kernel >= samples
    assert steps == 1 or (steps - 2) * stride + chosen.kernel < samples
    assert chosen.encode(torch.zeros(1, samples).double()).shape == (1, steps, 6)


@given(st.lists(st.integers(0, 70), min_size=1, max_size=4), st.sampled_from(SIZES))
def test_real_steps_are_those_that_an_item_has_alone(lengths, size):
    chosen = bank(*size)
    real = chosen.real_steps(torch.tensor(lengths), chosen.steps(70))
    assert real.sum(1).tolist() == [chosen.steps(length) if length else 0 for length in lengths]


def test_gaps_between_frames_are_refused():
    with pytest.raises(ValidationError, match="kernel=4 is shorter than stride=8"):
        FilterbankSettings(kernel=4, stride=8)
