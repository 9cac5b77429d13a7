"""From a configuration to the network of its system, and what `describe` feeds it."""

import importlib

import torch
from torch import nn

from armillary.core.domain import Batch, TrunkNeeds
from armillary.core.errors import ConfigError
from armillary.domains.modulation.classifier import FrameClassifier
from armillary.domains.modulation.settings import ModulationRun

_SYSTEMS = {
    "clst": "clst:ClST",
    "sequence": "sequence:Sequence",
    "mcldnn": "mcldnn:MCLDNN",
    "pet_cgdnn": "pet_cgdnn:PETCGDNN",
    "resnet": "resnet:ResNet",
    "lstm2": "lstm2:LSTM2",
    "kd_cnn": "kd_cnn:KDCNN",
    "kd_mobilenet": "kd_mobilenet:KDMobileNet",
}
_WITH_TRUNK = ("clst", "sequence")


def build(config: ModulationRun, trunk: nn.Module | None = None) -> nn.Module:
    """The network as a plain module; a trunk handed in replaces its own.

    Raises:
        ConfigError: a trunk for a network that has none.
    """
    kind = config.model.kind
    module, _, name = _SYSTEMS[kind].partition(":")
    system = getattr(importlib.import_module(f"armillary.domains.modulation.systems.{module}"), name)
    shape = len(config.data.classes), config.data.length
    if kind in _WITH_TRUNK:
        return FrameClassifier(system(config.model, *shape, trunk=trunk))
    if trunk is not None:
        raise ConfigError(
            f"{kind} is a network of its own kind without a trunk; choose one of {', '.join(_WITH_TRUNK)}"
        )
    return FrameClassifier(system(config.model, *shape))


def trunk_needs(config: ModulationRun) -> TrunkNeeds:
    """What a trunk that is handed in must take: nothing here streams, so it need not be causal."""
    if config.model.kind == "clst":
        return TrunkNeeds(width=config.model.widths[0], causal=False, grid_rank=0)
    if config.model.kind == "sequence":
        return TrunkNeeds(width=config.model.trunk.width, causal=False, grid_rank=0)
    raise ConfigError(f"{config.model.kind} is a network of its own kind without a trunk")


def example_batch(config: ModulationRun, batch_size: int) -> Batch:
    """Frames of the run's length, for describe."""
    return {
        "iq": torch.ones(batch_size, 2, config.data.length),
        "target": torch.zeros(batch_size, dtype=torch.int64),
        "snr_db": torch.zeros(batch_size),
        "index": torch.arange(batch_size),
    }
