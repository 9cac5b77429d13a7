"""Channel mixers: pointwise over tokens, against their formulas."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.testing import assert_close

from armillary.core.channels.glu import default_hidden
from armillary.core.channels.rational import variance_gain
from armillary.core.config.channels import GLUSettings, MLPSettings, PolySettings, RationalSettings
from armillary.core.config.parts import CHANNELS, build_part
from armillary.core.cost import describe
from armillary.core.optim import parameter_groups

VARIED = [
    MLPSettings(hidden=5, activation="relu", bias=False),
    GLUSettings(hidden=7, bias=True),
    RationalSettings(hidden=16, activation="silu", form="B"),
    RationalSettings(groups=1, hidden=5, bias=False),
    PolySettings(activation="polyrelu", hidden=5, bias=False),
    PolySettings(gated=True, hidden=7),
]
POINTWISE = ("mlp", "glu", "rational", "poly")  # the others read tokens, and have tests of their own
EVERY = [*(CHANNELS[kind].settings() for kind in POINTWISE), *VARIED]
every_mixer = pytest.mark.parametrize("settings", EVERY, ids=lambda settings: repr(settings)[:60])


def _build(settings, width=8):
    torch.manual_seed(0)
    return build_part(CHANNELS, settings, width).double().eval()


def _count(settings, width):
    return sum(parameter.numel() for parameter in _build(settings, width).parameters())


@every_mixer
def test_a_channel_mixer_is_pointwise_and_takes_any_leading_axes(settings):
    part = _build(settings)
    x = torch.randn(2, 3, 4, 8, dtype=torch.float64)
    whole = part(x)
    assert_close(part(x[1, 2, 3]), whole[1, 2, 3])
    assert_close(part(x.flatten(0, 2)).reshape(x.shape), whole)
    assert part(x[:0]).shape == (0, 3, 4, 8)


@every_mixer
def test_every_parameter_learns(settings):
    part = _build(settings)
    part(torch.randn(5, 8, dtype=torch.float64)).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in part.parameters())


@every_mixer
def test_half_precision_stays_half_and_close(settings):
    part, x = _build(settings).float(), torch.randn(5, 8)
    wide = part(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        narrow = part(x)
    assert narrow.dtype == torch.bfloat16
    assert_close(narrow.float(), wide, rtol=0.05, atol=0.05)


@every_mixer
def test_it_is_counted_by_its_own_formula_and_nothing_twice(settings):
    described = describe(lambda: build_part(CHANNELS, settings, 8), {"x": torch.zeros(3, 5, 8)}, _run)
    assert described.mac == _build(settings).cost(15)
    assert described.uncounted == ()


def _run(model, batch):
    return model(batch["x"])


@pytest.mark.parametrize("activation", ["relu", "gelu", "silu"])
def test_the_formulas(activation):
    x, act = torch.randn(4, 6, dtype=torch.float64), getattr(functional, activation)
    mlp = _build(MLPSettings(activation=activation), 6)
    assert_close(mlp(x), act(x @ mlp.expand.weight.T + mlp.expand.bias) @ mlp.contract.weight.T + mlp.contract.bias)
    glu = _build(GLUSettings(hidden=8, activation=activation), 6)
    gate, linear = glu.expand.weight[:8], glu.expand.weight[8:]
    assert_close(glu(x), (act(x @ gate.T) * (x @ linear.T)) @ glu.contract.weight.T)


@pytest.mark.parametrize(("activation", "error"), [("relu", 0.062), ("gelu", 0.0032), ("silu", 3e-5)])
def test_the_rational_perceptron_starts_as_a_plain_one(activation, error):
    part = _build(RationalSettings(activation=activation))
    x = torch.linspace(-1, 1, 80, dtype=torch.float64).view(10, 8)
    hidden = part.expand(x)
    act = getattr(functional, activation)(hidden)
    assert hidden.abs().max() < 5
    bound = error * part.contract.weight.abs().sum(1).max()
    assert (part(x) - part.contract(act)).abs().max() < bound


def test_the_rational_perceptron_keeps_the_variance_of_its_input():
    torch.manual_seed(0)
    part = build_part(CHANNELS, RationalSettings(activation="relu"), 512)
    x = torch.randn(256, 512)
    with torch.no_grad():
        hidden = part.expand(part.first(x))
        assert hidden.var() == pytest.approx(1, rel=0.03)
        assert part(x).square().mean() == pytest.approx(1, rel=0.05)


@pytest.mark.parametrize(("start", "moment"), [("identity", 1.0), ("relu", 0.5), ("gelu", 0.4252), ("silu", 0.3558)])
def test_gains_are_those_of_the_functions_the_quotients_start_as(start, moment):
    assert variance_gain(start) == pytest.approx(1 / moment, rel=0.02 if start == "relu" else 3e-3)
    if start in ("gelu", "silu"):
        x = torch.linspace(-12, 12, 100_001, dtype=torch.float64)
        density = torch.exp(-x.square() / 2) / (2 * np.pi) ** 0.5
        assert moment == pytest.approx(
            float((getattr(functional, start)(x).square() * density).sum() * 24e-5), rel=1e-3
        )


def test_the_polynomial_perceptrons_by_their_formulas():
    x = torch.randn(4, 8, dtype=torch.float64)
    plain = _build(PolySettings(activation="polyrelu", hidden=5))
    p = plain.expand(x).relu()
    assert_close(plain(x), plain.contract((p**3 + p**2 + p) / 3))
    gated = _build(PolySettings(activation="polyrelu", hidden=5, gated=True))
    gate, linear = gated.expand(x).chunk(2, -1)
    p = gate.relu()
    assert_close(gated(x), gated.contract((p**3 + p**2 + p) / 3 * linear))
    normed = _build(PolySettings(hidden=5))
    h = normed.expand(x)
    powers = (h**k / ((h ** (2 * k)).mean(-1, keepdim=True) + 1e-6).sqrt() for k in (1, 2, 3))
    assert_close(normed(x), normed.contract(sum(powers) / 3))


def test_parameters_are_those_counted_by_hand():
    assert _count(MLPSettings(), 6) == 6 * 24 + 24 + 24 * 6 + 6
    assert _count(MLPSettings(ratio=0.5, bias=False), 6) == 2 * 6 * 3
    assert _count(MLPSettings(hidden=7), 6) == 6 * 7 + 7 + 7 * 6 + 6
    assert _count(GLUSettings(), 48) == 3 * 48 * 128
    assert _count(RationalSettings(), 16) == _count(MLPSettings(), 16) + 2 * (6 + 8 * 4)
    assert _count(PolySettings(), 6) == _count(MLPSettings(), 6) + 4
    assert _count(PolySettings(gated=True, hidden=7), 6) == 6 * 14 + 14 + 7 * 6 + 6 + 4


@pytest.mark.parametrize(("width", "hidden"), [(1, 64), (24, 64), (25, 128), (48, 128), (768, 2048)])
def test_the_gated_width_is_eight_thirds_rounded_up_to_64(width, hidden):
    assert default_hidden(width) == hidden


def test_costs_are_those_worked_by_hand():
    assert _build(MLPSettings(), 6).cost(10) == 10 * (6 * 24 + 24 * 6)
    assert _build(GLUSettings(hidden=8), 6).cost(10) == 10 * (3 * 6 * 8 + 8)
    assert _build(RationalSettings()).cost(10) == 10 * (2 * 8 * 32 + 9 * 8 + 9 * 32)
    assert _build(PolySettings(hidden=4)).cost(10) == 10 * (2 * 8 * 4 + 8 * 4)
    assert _build(PolySettings(hidden=4, activation="polyrelu", gated=True)).cost(10) == 10 * (3 * 8 * 4 + 3 * 4 + 4)


@pytest.mark.parametrize("settings", [RationalSettings(), PolySettings()], ids=["rational", "poly"])
def test_coefficients_take_no_weight_decay(settings):
    part = build_part(CHANNELS, settings, 8)
    decayed = [p for group in parameter_groups(part, 0.1, 1e-3) if group["weight_decay"] for p in group["params"]]
    weights = [layer.weight for layer in part.modules() if isinstance(layer, nn.Linear)]
    assert {id(p) for p in decayed} == {id(p) for p in weights}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (RationalSettings(groups=3), "rational: groups = 3 does not divide the width = 8; choose one that does."),
        (
            RationalSettings(hidden=12),
            "rational: groups = 8 does not divide the hidden width = 12; choose one that does.",
        ),
    ],
)
def test_groups_that_do_not_divide_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        build_part(CHANNELS, settings, 8)


@pytest.mark.parametrize(
    "settings",
    [MLPSettings(dropout=0.5), GLUSettings(dropout=0.5), RationalSettings(dropout=0.5), PolySettings(dropout=0.5)],
    ids=POINTWISE,
)
def test_dropout_acts_in_training_only(settings):
    part = _build(settings)
    x = torch.randn(4, 8, dtype=torch.float64)
    assert torch.equal(part(x), part(x))
    part.train()
    assert not torch.equal(part(x), part(x))
