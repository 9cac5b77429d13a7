"""The optimiser of a run: Adam, AdamW, or Muon on the matrices of the blocks with AdamW on the rest."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from armillary.core.block import Block
from armillary.core.config import OptimSettings
from armillary.core.optim import parameter_groups


class Joint(torch.optim.Optimizer):
    """Several optimisers, each over its own parameters, that step as one."""

    def __init__(self, parts: list[torch.optim.Optimizer]) -> None:
        self.parts = parts
        super().__init__([group for part in parts for group in part.param_groups], {})
        # The parts must see what is written to the groups here, so both hold the same dicts.
        start = 0
        for part in parts:
            stop = start + len(part.param_groups)
            part.param_groups = self.param_groups[start:stop]
            start = stop

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One step of each part; the closure runs once."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """The state of each part in order."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        start = 0
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
            stop = start + len(part.param_groups)
            self.param_groups[start:stop] = part.param_groups
            start = stop


def make_optimiser(model: nn.Module, optim: OptimSettings) -> torch.optim.Optimizer:
    """The optimiser over the groups that the modules ask for; each group keeps its base rate as 'base_lr'.

    References:
        Jordan et al. 2024, "Muon: an optimizer for hidden layers"; its rate is scaled so that an update has the
        root mean square of AdamW's (Liu et al. 2025, "Muon is scalable for LLM training", eq. 4).
    """
    groups = parameter_groups(model, optim.weight_decay, optim.lr)
    if optim.algorithm == "muon":
        optimiser = _muon(model, groups, optim)
    else:
        kind = torch.optim.AdamW if optim.algorithm == "adamw" else torch.optim.Adam
        optimiser = kind(groups, lr=optim.lr, betas=optim.betas)
    for group in optimiser.param_groups:
        group["base_lr"] = group["lr"]
    return optimiser


def _muon(model: nn.Module, groups: list[dict[str, Any]], optim: OptimSettings) -> torch.optim.Optimizer:
    inside = {id(p) for module in model.modules() if isinstance(module, Block) for p in module.parameters()}
    matrices, rest = list[dict[str, Any]](), list[dict[str, Any]]()
    for group in groups:
        chosen = [p for p in group["params"] if id(p) in inside and p.ndim == 2 and group["weight_decay"] > 0]
        held = {id(p) for p in chosen}
        others = [p for p in group["params"] if id(p) not in held]
        matrices += [{**group, "params": chosen}] if chosen else []
        rest += [{**group, "params": others}] if others else []
    parts: list[torch.optim.Optimizer] = []
    if matrices:
        parts.append(torch.optim.Muon(matrices, lr=optim.lr, adjust_lr_fn="match_rms_adamw"))
    if rest:
        parts.append(torch.optim.AdamW(rest, lr=optim.lr, betas=optim.betas))
    return Joint(parts)
