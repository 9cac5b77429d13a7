"""From a configuration to the model of its system, and what `describe` feeds it."""

import importlib
from typing import Any

import torch
from torch import nn

from armillary.core.domain import Batch, TrunkNeeds
from armillary.core.errors import ConfigError
from armillary.domains.medical.settings import MedicalRun

_SYSTEMS = {
    "vit": "vit:ViT",
    "mae": "mae:MAE",
    "vim": "vim:Vim",
    "vmamba": "vmamba:VMamba",
    "medmamba": "medmamba:MedMamba",
    "densenet": "densenet:DenseNet",
    "stages": "stages:Stages",
    "vm_unet": "vm_unet:VMUNet",
    "u_mamba": "u_mamba:UMamba",
    "unet": "unet:UNet",
}
_WRAPPERS = {
    "labels": "classifier:ImageClassifier",
    "classes": "classifier:ImageClassifier",
    "masks": "segmenter:Segmenter",
    "pretrain": "pretrainer:Pretrainer",
}
_WITH_TRUNK = ("vit", "vim", "vmamba", "medmamba", "stages")
# Segmenters take images of any size; one that is left as it is stands here for its axes.
_ANY_SIZE = (256, 256)


def build(config: MedicalRun, trunk: nn.Module | None = None) -> nn.Module:
    """The model of the run's task, a plain module; a trunk handed in replaces its network's own.

    Raises:
        ConfigError: a trunk for a network that has none.
    """
    kind, data = config.model.kind, config.data
    if trunk is not None and kind not in _WITH_TRUNK:
        raise _without_trunk(kind)
    system = _named(f"systems.{_SYSTEMS[kind]}")
    named = {} if trunk is None else {"trunk": trunk}
    network = system(config.model, len(data.names), data.channels, _size(config), **named)
    return _named(_WRAPPERS[data.task])(network, config)


def trunk_needs(config: MedicalRun) -> TrunkNeeds:
    """What a trunk that is handed in must take: images are seen whole, so it need not be causal.

    Raises:
        ConfigError: the network has no trunk.
    """
    model, rank = config.model, config.data.rank
    if model.kind == "vit":
        return _named("systems.vit:vit_needs")(model, rank)
    if model.kind == "vim":
        # A row with the class token in its middle is no grid.
        return TrunkNeeds(width=model.width, causal=False, grid_rank=0)
    if model.kind == "vmamba" or model.kind == "medmamba":
        return TrunkNeeds(width=model.widths[0], causal=False, grid_rank=rank)
    if model.kind == "stages":
        return TrunkNeeds(width=model.trunk.width, causal=False, grid_rank=rank)
    raise _without_trunk(model.kind)


def example_batch(config: MedicalRun, batch_size: int) -> Batch:
    """Images of the run's size, or of its patches, for describe; without "shape", none of them is padded."""
    data, size = config.data, _size(config)
    rank, names = len(size), len(data.names)
    batch: Batch = {
        "image": torch.ones(batch_size, data.channels, *size),
        "spacing": torch.ones(batch_size, rank),
        "index": torch.arange(batch_size),
    }
    if data.task == "masks":
        batch["mask"] = torch.zeros(batch_size, names, *size)
    elif data.task == "classes":
        batch["target"] = torch.nn.functional.one_hot(torch.arange(batch_size) % names, names).float()
    elif data.task == "labels":
        batch["target"] = torch.zeros(batch_size, names)
    return batch


def _size(config: MedicalRun) -> tuple[int, ...]:
    return config.data.patch or config.data.size or _ANY_SIZE


def _named(target: str) -> Any:
    """An object of this package, from 'module:name'."""
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(f"armillary.domains.medical.{module}"), name)


def _without_trunk(kind: str) -> ConfigError:
    return ConfigError(f"{kind} is a network of its own kind without a trunk; choose one of {', '.join(_WITH_TRUNK)}")
