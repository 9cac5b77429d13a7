"""Which parameters decay and how fast each one learns, as their owning modules say."""

from typing import Any

from torch import nn


def parameter_groups(module: nn.Module, weight_decay: float, lr: float) -> list[dict[str, Any]]:
    """Groups for a torch optimiser that hold every trainable parameter exactly once, in the module's own order.

    A module that owns a parameter may set `parameter.no_weight_decay = True` or `parameter.lr_scale = 0.1`. Without a
    word from it, parameters of one axis or none (biases, norms, scales) and those named bias do not decay. Moving a
    module off the meta device makes new parameters and loses what was said, so build on the device that trains.
    """
    groups: dict[tuple[float, float], dict[str, Any]] = {}
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        decay = weight_decay if _decays(name, parameter) else 0.0
        rate = lr * getattr(parameter, "lr_scale", 1.0)
        group = groups.setdefault((rate, decay), {"params": [], "lr": rate, "weight_decay": decay})
        group["params"].append(parameter)
    return list(groups.values())


def _decays(name: str, parameter: nn.Parameter) -> bool:
    if getattr(parameter, "no_weight_decay", False):
        return False
    return parameter.ndim > 1 and name.rpartition(".")[2] != "bias"
