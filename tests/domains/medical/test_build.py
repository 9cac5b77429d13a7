"""From a configuration to a model, for every kind of network."""

import importlib.util

import pytest
import torch

from armillary.core.config.mixers import CrossScanSettings, PoolingSettings
from armillary.core.config.trunk import StageSettings, TrunkSettings
from armillary.core.cost import describe
from armillary.core.domain import Model, TrunkNeeds
from armillary.core.errors import ConfigError
from armillary.core.trunk import Trunk
from armillary.domains.medical.build import build, example_batch, trunk_needs
from armillary.domains.medical.settings import MedicalData, MedicalRun
from armillary.domains.medical.systems.settings import (
    DenseNetSettings,
    MAESettings,
    MedMambaSettings,
    StagesSettings,
    UMambaSettings,
    UNetSettings,
    VimSettings,
    ViTSettings,
    VMambaSettings,
    VMUNetSettings,
)

_PARTS = (
    StageSettings(depth=1, pattern=(CrossScanSettings(expand=1),)),
    StageSettings(depth=1, pattern=(CrossScanSettings(expand=1),), resample="conv_norm2", width=12),
)
_WIDTHS = {"widths": (8, 12), "depths": (1, 1)}
MODELS = {
    "vit": ViTSettings(patch=8, width=16, depth=2, heads=2),
    "vim": VimSettings(patch=8, width=8, depth=2, state=4),
    "vmamba": VMambaSettings(**_WIDTHS),
    "medmamba": MedMambaSettings(**_WIDTHS, state=4),
    "densenet": DenseNetSettings(),
    "stages": StagesSettings(trunk=TrunkSettings(width=8, stages=_PARTS, grid_rank=2)),
    "mae": MAESettings(encoder=ViTSettings(patch=8, width=16, depth=2, heads=2), decoder_width=16, decoder_heads=2),
    "vm_unet": VMUNetSettings(**_WIDTHS, decoder_depths=(1, 1), state=4),
    "u_mamba": UMambaSettings(widths=(8, 8), blocks=(1, 1), state=4),
    "unet": UNetSettings(features=(8, 8, 8, 8, 8, 8)),
}
CLASSIFIERS = ("vit", "vim", "vmamba", "medmamba", "densenet", "stages")
WITH_TRUNK = ("vit", "vim", "vmamba", "medmamba", "stages")


def run(kind: str, **changes: object) -> MedicalRun:
    model = MODELS[kind]
    values = {
        "card": "phantoms",
        "task": model.tasks[0],
        "size": (32, 40),
        "channels": 1,
        "mean": (0.5,),
        "std": (0.2,),
    }
    names = () if "pretrain" in model.tasks else ("a", "b", "c")
    return MedicalRun(recipe=f"medical/{kind}", data=MedicalData(**(values | {"names": names} | changes)), model=model)


# DenseNet-121 has one size, which takes seconds to fill; it is built without memory below.
@pytest.mark.parametrize("kind", [kind for kind in MODELS if kind != "densenet"])
def test_every_kind_of_network_becomes_a_model_whose_loss_learns(kind):
    torch.manual_seed(0)
    config = run(kind)
    model = build(config)
    assert isinstance(model, Model)
    batch = example_batch(config, 2)
    loss = model.train().loss(batch, torch.Generator().manual_seed(0))["total"]
    loss.backward()
    assert loss.isfinite()
    assert any(one.grad is not None and one.grad.abs().sum() > 0 for one in model.network.parameters())
    model.after_step()


@pytest.mark.parametrize("kind", MODELS)
def test_every_kind_is_described_without_memory(kind):
    config = run(kind, channels=3)
    described = describe(lambda: build(config), example_batch(config, 2))
    assert described.batch_size == 2
    assert described.parameters > 0
    assert described.mac > 0


@pytest.mark.parametrize("kind", CLASSIFIERS)
@pytest.mark.parametrize("task", ["labels", "classes"])
def test_classifiers_give_as_many_scores_as_there_are_names(kind, task):
    config = run(kind, task=task)
    with torch.device("meta"), torch.no_grad():
        model, batch = build(config).eval(), example_batch(config, 2)
        assert model.logits(batch).shape == batch["target"].shape == (2, 3)
        assert model.features(batch).ndim == 2


@pytest.mark.parametrize("kind", ["vim", "vmamba", "medmamba"])
def test_a_volume_has_networks_of_three_axes(kind):
    config = run(kind, size=(8, 16, 12), task="classes")
    with torch.device("meta"), torch.no_grad():
        assert build(config).eval().logits(example_batch(config, 2)).shape == (2, 3)


@pytest.mark.parametrize("kind", WITH_TRUNK)
def test_a_trunk_that_meets_the_needs_is_taken(kind):
    config = run(kind)
    needs = trunk_needs(config)
    trunk = Trunk(TrunkSettings(width=needs.width, pattern=(PoolingSettings(),)))
    model = build(config, trunk)
    assert any(module is trunk for module in model.modules())
    with torch.no_grad():
        assert model.eval().logits(example_batch(config, 2)).shape == (2, 3)


def test_needs_tell_the_width_and_the_axes():
    assert trunk_needs(run("vim")) == TrunkNeeds(width=8, causal=False, grid_rank=0)
    assert trunk_needs(run("stages")) == TrunkNeeds(width=8, causal=False, grid_rank=2)
    assert trunk_needs(run("vmamba", size=(8, 16, 12))) == TrunkNeeds(width=8, causal=False, grid_rank=3)
    assert trunk_needs(run("vit")).width == 16


@pytest.mark.parametrize("kind", sorted(set(MODELS) - set(WITH_TRUNK)))
def test_a_trunk_for_a_network_without_one_is_refused(kind):
    config = run(kind)
    with pytest.raises(ConfigError, match=f"{kind} is a network of its own kind without a trunk; choose one of vit"):
        build(config, Trunk(TrunkSettings(width=8, pattern=(PoolingSettings(),))))
    with pytest.raises(ConfigError, match="without a trunk"):
        trunk_needs(config)


def test_an_example_has_the_shapes_of_the_task():
    labels = example_batch(run("vim", channels=3), 4)
    assert labels["image"].shape == (4, 3, 32, 40)
    assert labels["target"].shape == (4, 3)
    assert "mask" not in labels
    classes = example_batch(run("vim", task="classes"), 4)
    assert classes["target"].argmax(1).tolist() == [0, 1, 2, 0]
    masks = example_batch(run("unet", patch=(16, 24, 8), size=None), 2)
    assert masks["mask"].shape == (2, 3, 16, 24, 8)
    assert masks["spacing"].shape == (2, 3)
    assert example_batch(run("unet", size=None), 1)["image"].shape == (1, 1, 256, 256)
    assert set(example_batch(run("mae"), 1)) == {"image", "spacing", "index"}


def test_every_kind_of_settings_is_in_the_table():
    from armillary.domains.medical import build as module

    assert set(module._SYSTEMS) == set(MODELS)
    for target in module._SYSTEMS.values():
        assert importlib.util.find_spec(f"armillary.domains.medical.systems.{target.partition(':')[0]}")
