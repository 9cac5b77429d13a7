"""Convolutions with batch norm: the same numbers as torch's own, and no state that changes in a forward pass."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from armillary.domains.modulation.systems.conv_norm import ChannelNorm, ConvNorm, fold_norms


def values(batch: int = 3, channels: int = 4, length: int = 9, seed: int = 0) -> torch.Tensor:
    return torch.randn(batch, channels, length, generator=torch.Generator().manual_seed(seed)) * 2 + 1


def test_steps_and_evaluation_agree_with_the_batch_norm_of_torch():
    ours, theirs = ChannelNorm(4), nn.BatchNorm1d(4)
    for step in range(3):
        x, y = values(seed=step).requires_grad_(), values(seed=step).requires_grad_()
        left, right = ours(x), theirs(y)
        assert_close(left, right)
        left.square().mul(x.detach()).sum().backward()
        right.square().mul(y.detach()).sum().backward()
        assert_close(x.grad, y.grad)
        ours.after_step()
    assert_close(ours.running_mean, theirs.running_mean)
    assert_close(ours.running_variance, theirs.running_var)
    assert_close(ours.weight.grad, theirs.weight.grad)
    assert_close(ours.eval()(values()), theirs.eval()(values()))


def test_a_forward_pass_changes_no_buffer_and_after_step_does():
    norm = ChannelNorm(4)
    before = {name: buffer.clone() for name, buffer in norm.named_buffers()}
    norm(values())
    for name, buffer in norm.named_buffers():
        assert torch.equal(buffer, before[name])
    norm.after_step()
    moved = norm.running_mean.clone()
    assert not torch.equal(moved, before["running_mean"])
    norm.after_step()
    assert torch.equal(norm.running_mean, moved), "one batch is folded once"


def test_evaluation_keeps_no_moments():
    norm = ChannelNorm(4).eval()
    norm(values())
    norm.after_step()
    assert torch.equal(norm.running_mean, torch.zeros(4))


@given(st.integers(1, 40), st.sampled_from([1, 3, 5, 7]), st.integers(1, 3))
def test_a_convolution_leaves_one_sample_for_each_stride_begun(length, kernel, stride):
    conv = ConvNorm(2, 3, kernel, stride=stride).eval()
    assert conv(torch.zeros(2, 2, length)).shape == (2, 3, -(-length // stride))


def test_all_norms_of_a_network_are_folded():
    network = nn.Sequential(ConvNorm(2, 3, 3), nn.Sequential(ConvNorm(3, 3, 3)))
    network(values(channels=2))
    fold_norms(network)
    means = [module.running_mean for module in network.modules() if isinstance(module, ChannelNorm)]
    assert len(means) == 2
    assert all(mean.abs().sum() > 0 for mean in means)


def test_an_even_kernel_has_no_centre():
    with pytest.raises(AssertionError, match="centre"):
        ConvNorm(2, 3, 4)
