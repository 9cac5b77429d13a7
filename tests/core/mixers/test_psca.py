"""Parallel spatial-channel attention, by its formula."""

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional
from torch.testing import assert_close

from armillary.core.config.mixers import PSCASettings
from armillary.core.config.trunk import StageSettings, TrunkSettings
from armillary.core.errors import ConfigError
from armillary.core.mixers.psca import PSCA, ConvProjection, token_moments
from armillary.core.norms import BatchNorm
from armillary.core.tokens import Tokens
from armillary.core.trunk import Trunk

WIDTH = 8


def _mixer(**settings: int) -> PSCA:
    torch.manual_seed(0)
    mixer = PSCA(WIDTH, PSCASettings(**settings)).double()
    torch.nn.init.normal_(mixer.scales)
    return mixer


def _values(*shape: int) -> torch.Tensor:
    return 1 + 2 * torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def _projected(part: ConvProjection, values: torch.Tensor, stride: int) -> torch.Tensor:
    """The projection with the moments of the batch, with torch's own layers."""
    near = functional.conv1d(values.mT, part.depthwise.weight, stride=stride, padding=1, groups=WIDTH)
    normed = functional.batch_norm(near, None, None, part.norm.weight, part.norm.bias, training=True)
    return normed.mT @ part.pointwise.weight.mT


def test_it_is_its_formula():
    mixer, x = _mixer(heads=2, stride=2, ratio=4).train(), _values(3, 7, WIDTH)
    q, k, v = (_projected(p, x, s) for p, s in ((mixer.query, 1), (mixer.key, 2), (mixer.value, 2)))
    heads = []
    for h in (slice(0, 4), slice(4, 8)):
        heads.append((q[..., h] @ k[..., h].mT / 4**0.5).softmax(-1) @ v[..., h])
    spatial = mixer.out(torch.cat(heads, -1))
    moments = torch.cat([x.mean(1), (x.var(1, correction=0) + 1e-5).sqrt()], -1)
    gate = mixer.gate.excite(mixer.gate.squeeze(moments).relu()).sigmoid()
    channel = mixer.point(x * gate[:, None])
    assert mixer.gate.squeeze.out_features == 2
    assert_close(mixer(Tokens(x))[0], mixer.scales[0] * spatial + mixer.scales[1] * channel)


def test_masked_tokens_change_no_moment_of_the_batch_norms():
    mask = torch.arange(7) < torch.tensor([[7], [4], [1]])
    x = _values(3, 7, WIDTH)
    moments = []
    for values in (x, x.masked_fill(~mask.unsqueeze(-1), 50.0)):
        mixer = _mixer().train()
        mixer(Tokens(values, mask))
        for norm in (mixer.query.norm, mixer.key.norm):
            norm.after_step()
            moments.append(torch.stack([norm.running_mean, norm.running_variance]))
    assert_close(moments[0], moments[2])
    assert_close(moments[1], moments[3])


def test_a_mask_of_real_tokens_only_is_no_mask_also_in_training():
    mixer, x = _mixer().train(), _values(2, 6, WIDTH)
    assert_close(mixer(Tokens(x, torch.ones(2, 6, dtype=torch.bool)))[0], mixer(Tokens(x))[0])


def test_moments_over_tokens_are_those_of_real_ones():
    x, mask = _values(2, 5, 3), torch.tensor([[True, False, True, True, False], [False] * 5])
    mean, variance = token_moments(x, mask)
    assert_close(mean[0], x[0, mask[0]].mean(0))
    assert_close(variance[0], x[0, mask[0]].var(0, correction=0))
    assert mean[1].tolist() == variance[1].tolist() == [0.0] * 3


def test_costs_are_those_worked_by_hand():
    projections = 7 * (3 * WIDTH + WIDTH**2) + 2 * 4 * (3 * WIDTH + WIDTH**2)
    gate = 2 * WIDTH * 2 + 2 * WIDTH
    assert _mixer(ratio=4).cost(1, 7) == projections + 2 * 7 * 4 * WIDTH + gate + 2 * 7 * WIDTH**2


def test_a_trunk_folds_its_moments_after_the_step():
    trunk = Trunk(TrunkSettings(width=WIDTH, pattern=(PSCASettings(),))).double().train()
    trunk(Tokens(_values(2, 6, WIDTH)))
    norms = [module for module in trunk.modules() if isinstance(module, BatchNorm)]
    assert len(norms) == 3
    assert all(norm.running_mean.abs().sum() == 0 for norm in norms)
    trunk.after_step()
    assert all(norm.running_mean.abs().sum() > 0 for norm in norms)


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigError, match="psca at width 8 cannot have 3 heads"):
        _mixer(heads=3)
    with pytest.raises(ValidationError, match="kernel=4 has no centre token"):
        PSCASettings(kernel=4)
    for repeated in (
        {"tied": 2, "pattern": (PSCASettings(),)},
        {"stages": (StageSettings(depth=1, pattern=(PSCASettings(),), loops=2),)},
    ):
        with pytest.raises(ValidationError, match="2 applications of a block have their own"):
            TrunkSettings.model_validate({"width": WIDTH, **repeated})
