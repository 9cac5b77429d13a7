"""Samples to features and back, against torch's own convolutions."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch.nn import functional
from torch.testing import assert_close

from armillary.domains.speech.systems.filterbank import Filterbank, FourierBank, build_bank
from armillary.domains.speech.systems.settings import FilterbankSettings, FourierSettings

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
    chosen, masks, features = bank(kernel, stride), torch.randn(2, 5, 3, 6).double(), torch.randn(2, 5, 6).double()
    rows = (masks * features.unsqueeze(2)).permute(0, 2, 3, 1).flatten(0, 1)
    expected = functional.conv_transpose1d(rows, chosen.synthesis.weight.mT.unsqueeze(1), stride=stride)
    signals = chosen.frames.add(chosen.decode(masks, features))
    assert signals.shape == (2, 3, 5 * stride + chosen.frames.overlap)
    whole = 4 * stride + kernel
    assert_close(signals[..., :whole], expected.unflatten(0, (2, 3)).squeeze(2))
    assert (signals[..., whole:] == 0).all()


@settings(max_examples=200)
@given(st.integers(1, 100), st.integers(1, 12), st.integers(0, 20))
def test_every_sample_is_seen_by_some_step_and_none_more_than_is_needed(samples, stride, more):
    chosen = bank(stride + more, stride)
    steps = chosen.frames.number(samples)
    assert (steps - 1) * stride + chosen.frames.kernel >= samples
    assert steps == 1 or (steps - 2) * stride + chosen.frames.kernel < samples
    assert chosen.encode(torch.zeros(1, samples).double()).shape == (1, steps, 6)


@given(st.lists(st.integers(0, 70), min_size=1, max_size=4), st.sampled_from(SIZES))
def test_real_steps_are_those_that_an_item_has_alone(lengths, size):
    chosen = bank(*size)
    real = chosen.frames.real(torch.tensor(lengths), chosen.frames.number(70))
    assert real.sum(1).tolist() == [chosen.frames.number(length) if length else 0 for length in lengths]


def test_gaps_between_frames_are_refused():
    with pytest.raises(ValidationError, match="kernel=4 is shorter than stride=8"):
        FilterbankSettings(kernel=4, stride=8)


@pytest.mark.parametrize(("kernel", "stride"), [(256, 64), (256, 128), (32, 16), (4, 1)])
@given(samples=st.integers(1, 700))
@settings(max_examples=30)
def test_masks_of_one_give_the_samples_back_up_to_both_ends(kernel, stride, samples):
    chosen = build_bank(FourierSettings(kernel=kernel, stride=stride)).double()
    signal = torch.randn(2, samples).double()
    features = chosen.encode(functional.pad(signal, (chosen.lead, chosen.lead)))
    frames = chosen.decode(torch.ones(2, features.shape[1], 1, kernel // 2 + 1).double(), features)
    assert_close(chosen.frames.add(frames)[:, 0, chosen.lead : chosen.lead + samples], signal, atol=1e-5, rtol=0)


def test_a_tone_stands_out_at_its_frequency():
    chosen = FourierBank(FourierSettings(kernel=64, stride=16))
    tone = torch.sin(2 * torch.pi * 10 / 64 * torch.arange(640)).unsqueeze(0)
    seen = chosen.seen(chosen.encode(tone))
    assert seen.shape == (1, 37, 33)
    assert (seen.argmax(-1) == 10).all()
    assert seen[0, 5, 30] < seen[0, 5, 10] - 4


@pytest.mark.parametrize(("kernel", "stride"), [(255, 51), (256, 60), (64, 64)])
def test_windows_that_do_not_add_up_are_refused(kernel, stride):
    with pytest.raises(ValidationError, match="do not add up to a constant"):
        FourierSettings(kernel=kernel, stride=stride)
