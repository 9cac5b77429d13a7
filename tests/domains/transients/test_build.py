"""The systems take any trunk that fits, and every recipe builds the network that it names."""

import pytest
import torch

from armillary.core.config.mixers import AttentionSettings, Mamba2Settings, MambaSettings, PoolingSettings
from armillary.core.config.trunk import TrunkSettings
from armillary.core.cost import describe
from armillary.core.trunk import Trunk
from armillary.domains.transients import DOMAIN

PARAMETERS = {
    "t2-plasticc": 13_454,
    "t2-spcc": 13_027,
    "t2-ztf": 12_932,
    "raw-spcc": 165_763,
    "raw-ztf": 163_524,
    "raw-plasticc": 845_838,
    "simulated": 32_462,
}
MIXERS = [
    AttentionSettings(causal=True),
    MambaSettings(),
    Mamba2Settings(head_width=16),
    PoolingSettings(causal=True),
]


def test_every_recipe_is_listed_here():
    assert set(PARAMETERS) == set(DOMAIN.recipes)


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_recipe_has_its_number_of_parameters(name: str):
    config = DOMAIN.recipes[name]()
    found = describe(lambda: DOMAIN.build(config), DOMAIN.example_batch(config, 2))
    assert found.parameters == PARAMETERS[name]
    assert found.uncounted == ()
    assert found.mac > 0


@pytest.mark.parametrize("mixer", MIXERS, ids=lambda mixer: mixer.kind)
@pytest.mark.parametrize("name", ["raw-spcc", "t2-spcc"])
def test_a_trunk_from_outside_replaces_the_own_one_and_learns(name: str, mixer: object):
    config = DOMAIN.recipes[name]()
    needs = DOMAIN.trunk_needs(config)
    trunk = Trunk(TrunkSettings(width=needs.width, depth=1, pattern=(mixer,)))
    assert trunk.capabilities.causal or not needs.causal
    model = DOMAIN.build(config, trunk)
    batch = {
        key: torch.rand_like(value) + 0.1 if value.is_floating_point() else value
        for key, value in DOMAIN.example_batch(config, 3).items()
    }
    model.loss(batch, torch.Generator())["total"].backward()
    gradients = [parameter.grad for parameter in trunk.parameters()]
    assert all(gradient is not None for gradient in gradients)
    assert sum(float(gradient.abs().sum()) for gradient in gradients) > 0
