"""A convolution to tokens, any trunk, pooling."""

import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from armillary.core.config.mixers import AttentionSettings, Mamba2Settings, PoolingSettings
from armillary.core.config.norms import BatchNormSettings
from armillary.core.config.trunk import TrunkSettings
from armillary.core.cost import describe
from armillary.core.norms import BatchNorm
from armillary.core.trunk import Trunk
from armillary.domains.modulation.systems.sequence import Sequence, sequence_needs
from armillary.domains.modulation.systems.settings import SequenceSettings

MIXERS = (Mamba2Settings(head_width=8, state=4, bidirectional=True), AttentionSettings(heads=2))


def settings(pooling: str = "mean", **trunk: object) -> SequenceSettings:
    chosen = {"width": 8, "depth": 2, "pattern": MIXERS, **trunk}
    return SequenceSettings(trunk=TrunkSettings.model_validate(chosen), pooling=pooling)


def network(chosen: SequenceSettings, **given: object) -> Sequence:
    torch.manual_seed(0)
    return Sequence(chosen, 5, 32, **given)


def frames(count: int, length: int = 32) -> torch.Tensor:
    return torch.randn(count, 2, length, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("pooling", ["mean", "last", "attention"])
@pytest.mark.parametrize(("batch", "length"), [(1, 32), (3, 33), (2, 1)])
def test_any_batch_and_length_with_every_pooling(pooling, batch, length):
    model, iq = network(settings(pooling)).eval(), frames(batch, length)
    assert model.features(iq).shape == (batch, 8)
    scores = functional.linear(model.features(iq), model.head.classify.weight, model.head.classify.bias)
    assert_close(model(iq), scores)
    assert torch.isfinite(scores).all()


def test_tokens_are_as_many_as_strides():
    seen = []
    model = network(settings())
    model.trunk.register_forward_hook(lambda _, given, __: seen.append(tuple(given[0].values.shape)))
    model(frames(2, 33))
    assert seen == [(2, 17, 8)]


def test_every_parameter_learns():
    model = network(settings("attention"))
    functional.cross_entropy(model(frames(8)), torch.arange(8) % 5).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


def test_after_step_folds_the_norms_of_the_trunk():
    model = network(settings(norm=BatchNormSettings()))
    model(frames(4))
    folded = [module for module in model.modules() if isinstance(module, BatchNorm)]
    assert all(norm.running_mean.abs().sum() == 0 for norm in folded)
    model.after_step()
    assert all(norm.running_mean.abs().sum() > 0 for norm in folded)


def test_a_trunk_that_is_handed_in_takes_the_place_of_its_own():
    chosen = settings()
    assert sequence_needs(chosen).width == 8
    trunk = Trunk(TrunkSettings(width=8, pattern=(PoolingSettings(),)))
    model = network(chosen, trunk=trunk)
    assert model.trunk is trunk
    assert model(frames(2)).shape == (2, 5)
    model.after_step()


def test_all_of_its_work_is_counted():
    described = describe(network(settings()), {"iq": torch.zeros(1, 2, 32)}, lambda model, batch: model(batch["iq"]))
    assert described.uncounted == ()
    assert described.mac > 0
