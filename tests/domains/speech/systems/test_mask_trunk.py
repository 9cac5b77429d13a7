"""MossFormer's frame around trunks."""

import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from armillary.core.config.mixers import AttentionSettings, Mamba2Settings
from armillary.core.config.norms import BatchNormSettings
from armillary.core.config.trunk import StageSettings, TrunkSettings
from armillary.core.errors import ConfigError
from armillary.core.norms import BatchNorm
from armillary.core.trunk import Trunk
from armillary.domains.speech.systems.mask_trunk import MaskTrunk, sines
from armillary.domains.speech.systems.settings import FilterbankSettings, MaskTrunkSettings

ATTENTION = AttentionSettings(heads=2)


def settings(norm: str = "global", **trunk: object) -> MaskTrunkSettings:
    chosen = {"width": 8, "pattern": (ATTENTION,), "channel": None, **trunk}
    return MaskTrunkSettings(
        filterbank=FilterbankSettings(filters=6), trunk=TrunkSettings.model_validate(chosen), norm=norm
    )


def test_masks_are_what_the_formula_says():
    torch.manual_seed(0)
    masker, hidden = MaskTrunk(settings(), voices=3), torch.randn(2, 4, 8)
    masks = masker.head(hidden)
    rows = masker.split(nn.functional.prelu(hidden, masker.slope.weight))
    for voice in range(3):
        own = rows[..., 8 * voice : 8 * (voice + 1)]
        expected = masker.expand(masker.output(own).tanh() * masker.gate(own).sigmoid()).relu()
        assert_close(masks[:, :, voice], expected)


@pytest.mark.parametrize("width", [2, 7, 8])
def test_positions_are_sines_and_then_cosines(width):
    encoding = sines(3, 5, width)
    assert encoding.shape == (5, width)
    rate = 10000 ** (-2 / width) if width > 2 else None
    assert encoding[2, 0] == pytest.approx(math.sin(5))
    assert encoding[2, -(-width // 2)] == pytest.approx(math.cos(5))
    if rate is not None:
        assert encoding[1, 1] == pytest.approx(math.sin(4 * rate), abs=1e-6)


def test_positions_have_one_learned_scale():
    torch.manual_seed(0)
    masker, features = MaskTrunk(settings(), voices=2), torch.rand(1, 9, 6)
    with_positions = masker.body(features, None, None)[0]
    with torch.no_grad():
        masker.scale.zero_()
    assert not torch.allclose(with_positions, masker.body(features, None, None)[0])
    assert MaskTrunk(settings().model_copy(update={"positions": False}), voices=2).scale is None


def test_a_trunk_that_is_handed_in_takes_the_place_of_its_own():
    trunk = Trunk(settings().trunk)
    masker = MaskTrunk(settings(), voices=2, trunk=trunk)
    assert masker.trunk is trunk


def test_a_trunk_of_another_width_at_its_end_is_refused():
    stages = (StageSettings(depth=1, pattern=(ATTENTION,)), StageSettings(depth=1, pattern=(ATTENTION,), width=12))
    with pytest.raises(ConfigError, match="gives 12 features, expected 8"):
        MaskTrunk(settings(pattern=(), stages=stages), voices=2)


@pytest.mark.parametrize(
    "mixers", [(ATTENTION,), (Mamba2Settings(head_width=8, state=4, bidirectional=True),)], ids=["attention", "mamba2"]
)
def test_a_causal_network_refuses_mixers_that_look_ahead(mixers):
    with pytest.raises(ConfigError, match="its trunk sees later steps"):
        MaskTrunk(settings("step", pattern=mixers), voices=2)


def test_stages_with_fewer_steps_inside_work_at_any_length():
    inner = StageSettings(depth=1, pattern=(ATTENTION,), resample="down2", width=12)
    outer = StageSettings(depth=1, pattern=(ATTENTION,), resample="up2", width=8)
    masker = MaskTrunk(settings(pattern=(), stages=(StageSettings(depth=1, pattern=(ATTENTION,)), inner, outer)), 2)
    for steps in (1, 2, 7):
        assert masker.body(torch.rand(2, steps, 6), None, None)[0].shape == (2, steps, 8)


def test_after_step_folds_the_norms_of_the_trunk():
    masker = MaskTrunk(settings(norm="global"), voices=2)
    masker.after_step()
    masker = MaskTrunk(
        MaskTrunkSettings(
            filterbank=FilterbankSettings(filters=6),
            trunk=TrunkSettings(width=8, pattern=(ATTENTION,), norm=BatchNormSettings()),
        ),
        voices=2,
    )
    masker.body(torch.rand(2, 5, 6), None, None)
    masker.after_step()
    folded = [module for module in masker.modules() if isinstance(module, BatchNorm)]
    assert folded
    assert all(norm.running_mean.abs().sum() > 0 for norm in folded)
