"""Channel mixers: pointwise over tokens, against their formulas."""

import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from armillary.core.channels.glu import default_hidden
from armillary.core.config.channels import GLUSettings, MLPSettings
from armillary.core.config.parts import CHANNELS, build_part

EVERY = [
    MLPSettings(),
    MLPSettings(hidden=5, activation="relu", bias=False),
    GLUSettings(),
    GLUSettings(hidden=7, bias=True),
]


def _build(settings, width=6):
    torch.manual_seed(0)
    return build_part(CHANNELS, settings, width).double().eval()


@pytest.mark.parametrize("settings", EVERY)
def test_a_channel_mixer_is_pointwise_and_takes_any_leading_axes(settings):
    part = _build(settings)
    x = torch.randn(2, 3, 4, 6, dtype=torch.float64)
    whole = part(x)
    assert_close(part(x[1, 2, 3]), whole[1, 2, 3])
    assert_close(part(x.flatten(0, 2)).reshape(x.shape), whole)
    assert part(x[:0]).shape == (0, 3, 4, 6)


@pytest.mark.parametrize("activation", ["relu", "gelu", "silu"])
def test_the_formulas(activation):
    x, act = torch.randn(4, 6, dtype=torch.float64), getattr(functional, activation)
    mlp = _build(MLPSettings(activation=activation))
    assert_close(mlp(x), act(x @ mlp.expand.weight.T + mlp.expand.bias) @ mlp.contract.weight.T + mlp.contract.bias)
    glu = _build(GLUSettings(hidden=8, activation=activation))
    gate, linear = glu.expand.weight[:8], glu.expand.weight[8:]
    assert_close(glu(x), (act(x @ gate.T) * (x @ linear.T)) @ glu.contract.weight.T)


def test_parameters_are_those_counted_by_hand():
    def count(settings, width):
        return sum(parameter.numel() for parameter in _build(settings, width).parameters())

    assert count(MLPSettings(), 6) == 6 * 24 + 24 + 24 * 6 + 6
    assert count(MLPSettings(ratio=0.5, bias=False), 6) == 2 * 6 * 3
    assert count(MLPSettings(hidden=7), 6) == 6 * 7 + 7 + 7 * 6 + 6
    assert count(GLUSettings(), 48) == 3 * 48 * 128


@pytest.mark.parametrize(("width", "hidden"), [(1, 64), (24, 64), (25, 128), (48, 128), (768, 2048)])
def test_the_gated_width_is_eight_thirds_rounded_up_to_64(width, hidden):
    assert default_hidden(width) == hidden


def test_costs_are_those_worked_by_hand():
    assert _build(MLPSettings()).cost(10) == 10 * (6 * 24 + 24 * 6)
    assert _build(GLUSettings(hidden=8)).cost(10) == 10 * (3 * 6 * 8 + 8)


def test_dropout_acts_in_training_only():
    part = _build(MLPSettings(dropout=0.5))
    x = torch.randn(4, 6, dtype=torch.float64)
    assert torch.equal(part(x), part(x))
    part.train()
    assert not torch.equal(part(x), part(x))
