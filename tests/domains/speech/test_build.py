"""From a configuration to a network."""

import pytest
import torch

from armillary.core.config.mixers import PoolingSettings
from armillary.core.config.trunk import TrunkSettings
from armillary.core.cost import describe
from armillary.core.domain import TrunkNeeds
from armillary.core.errors import ConfigError
from armillary.core.trunk import Trunk
from armillary.domains.speech.build import build, example_batch, trunk_needs
from armillary.domains.speech.settings import SpeechData, SpeechRun
from armillary.domains.speech.systems.settings import ConvTasNetSettings, FilterbankSettings, MaskTrunkSettings

BANK = FilterbankSettings(filters=6)
TRUNK = MaskTrunkSettings(filterbank=BANK, trunk=TrunkSettings(width=8, pattern=(PoolingSettings(causal=True),)))
TASNET = ConvTasNetSettings(filterbank=BANK, bottleneck=4, hidden=8, skip=4, blocks=2, repeats=1)


def run(model: object, **data: object) -> SpeechRun:
    return SpeechRun(recipe="speech/x", data=SpeechData.model_validate({"card": "c", **data}), model=model)


@pytest.mark.parametrize("model", [TRUNK, TASNET], ids=["mask_trunk", "conv_tasnet"])
@pytest.mark.parametrize("voices", [2, 4, 5])
def test_every_system_is_built_for_any_number_of_voices_and_its_cost_is_told(model, voices):
    config = run(model, voices=voices)
    batch = example_batch(config, 3)
    built = build(config)
    assert built(batch["mixture"], batch["length"]).shape == batch["sources"].shape == (3, voices, 16000)
    assert torch.isfinite(built.loss(batch, torch.Generator())["total"])
    described = describe(lambda: build(config), batch)
    assert described.uncounted == ()
    assert described.parameters == sum(parameter.numel() for parameter in built.parameters())


def test_an_example_has_the_length_of_a_training_item():
    assert example_batch(run(TRUNK, segment_s=0.5), 1)["mixture"].shape == (1, 4000)
    assert example_batch(run(TRUNK, segment_s=None), 1)["mixture"].shape == (1, 16000)


def test_a_trunk_that_is_handed_in_replaces_its_own():
    trunk = Trunk(TRUNK.trunk)
    assert build(run(TRUNK), trunk).network.masker.trunk is trunk


def test_a_network_without_a_trunk_refuses_one():
    with pytest.raises(ConfigError, match="choose mask_trunk"):
        build(run(TASNET), Trunk(TRUNK.trunk))
    with pytest.raises(ConfigError, match="without a trunk"):
        trunk_needs(run(TASNET))


def test_a_causal_network_needs_a_causal_trunk():
    assert trunk_needs(run(TRUNK)) == TrunkNeeds(width=8, causal=False)
    assert trunk_needs(run(TRUNK.model_copy(update={"norm": "step"}))) == TrunkNeeds(width=8, causal=True)
