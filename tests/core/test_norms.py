"""Norms against their formulas."""

import pytest
import torch
from torch.testing import assert_close

from armillary.core.config.norms import (
    BatchNormSettings,
    LayerNormSettings,
    NoNormSettings,
    RMSNormSettings,
    ScaleNormSettings,
)
from armillary.core.config.parts import NORMS, build_part


def _values(batch=3, length=5, width=6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return 2 + 3 * torch.randn(batch, length, width, generator=generator, dtype=torch.float64)


def _norm(settings, width=6):
    norm = build_part(NORMS, settings, width).double()
    for parameter in norm.parameters():
        torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(1))
    return norm


def test_layer_norm_is_its_formula():
    x, norm = _values(), _norm(LayerNormSettings(eps=1e-6))
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt()
    assert_close(norm(x), scaled * norm.weight + norm.bias)
    assert _norm(LayerNormSettings(bias=False)).bias is None


def test_rms_norm_is_its_formula():
    x, norm = _values(), _norm(RMSNormSettings())
    assert_close(norm(x), x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() * norm.weight)


def test_scale_norm_has_length_g_and_starts_as_an_rms_norm():
    x, norm = _values(), _norm(ScaleNormSettings())
    assert_close(norm(x).norm(dim=-1), norm.scale.abs().expand(3, 5))
    fresh = build_part(NORMS, ScaleNormSettings(), 6).double()
    assert_close(fresh(x), x / x.square().mean(-1, keepdim=True).sqrt(), rtol=1e-6, atol=0)


def test_no_norm_changes_nothing():
    x = _values()
    assert build_part(NORMS, NoNormSettings(), 6)(x) is x


@pytest.mark.parametrize(
    "settings", [LayerNormSettings(), RMSNormSettings(), ScaleNormSettings(), BatchNormSettings(), NoNormSettings()]
)
def test_empty_sequences_and_zero_tokens_stay_finite(settings):
    norm = build_part(NORMS, settings, 6)
    assert norm(torch.zeros(2, 0, 6)).shape == (2, 0, 6)
    assert norm(torch.zeros(2, 3, 6)).isfinite().all()


def test_batch_norm_in_training_counts_real_tokens_only():
    x, norm = _values(), _norm(BatchNormSettings()).train()
    mask = torch.arange(5) < torch.tensor([[5], [2], [0]])
    real = x[mask]
    expected = (real - real.mean(0)) / (real.var(0, unbiased=False) + 1e-5).sqrt() * norm.weight + norm.bias
    spoiled = x.where(mask.unsqueeze(-1), 1e6)
    assert_close(norm(spoiled, mask)[mask], expected)


def test_batch_norm_matches_torch_over_a_training_and_an_evaluation_step():
    x, norm = _values(), build_part(NORMS, BatchNormSettings(momentum=0.3), 6).double()
    peer = torch.nn.BatchNorm1d(6, momentum=0.3).double()
    assert_close(norm(x), peer(x.mT).mT)
    norm.after_step()
    assert_close(norm.running_mean, peer.running_mean)
    # torch keeps the unbiased variance of 15 tokens, this norm the biased one.
    assert_close(norm.running_variance - 0.7, (peer.running_var - 0.7) * 14 / 15)


def test_batch_norm_changes_no_buffer_in_forward_and_folds_once_after_the_step():
    x, norm = _values(), _norm(BatchNormSettings()).train()
    before = norm.running_mean.clone()
    norm(x), norm(x)
    assert torch.equal(norm.running_mean, before)
    norm.after_step()
    folded = norm.running_mean.clone()
    assert_close(folded, 0.1 * x.mean((0, 1)))
    norm.after_step()
    assert torch.equal(norm.running_mean, folded)


def test_batch_norm_without_a_real_token_uses_the_running_moments():
    x, norm = _values(), _norm(BatchNormSettings()).train()
    mask = torch.zeros(3, 5, dtype=torch.bool)
    trained = norm(x, mask)
    assert_close(trained, norm.eval()(x, mask))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_batch_norm_gives_the_same_with_a_mask_of_real_tokens_as_without_one(dtype):
    runs = []
    for mask in (None, torch.ones(3, 5, dtype=torch.bool)):
        x, norm = _values().to(dtype).requires_grad_(), _norm(BatchNormSettings()).to(dtype).train()
        values = norm(x, mask)
        (values * _values(3, 5, 6).to(dtype).sin()).sum().backward()
        norm.after_step()
        runs.append(
            [values.detach(), x.grad, norm.weight.grad, norm.bias.grad, norm.running_mean, norm.running_variance]
        )
    limit = {torch.float64: 1e-10, torch.float32: 1e-5, torch.bfloat16: 0.1}[dtype]
    for first, second in zip(*runs, strict=True):
        assert_close(first, second, rtol=limit, atol=limit)


def test_batch_norm_of_constant_features_keeps_a_variance_of_zero():
    norm = build_part(NORMS, BatchNormSettings(momentum=1.0), 6).train()
    norm(torch.full((3, 5, 6), 7.0))
    norm.after_step()
    assert_close(norm.running_mean, torch.full((6,), 7.0))
    assert_close(norm.running_variance, torch.zeros(6), rtol=0, atol=1e-9)
