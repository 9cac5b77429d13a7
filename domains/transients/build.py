"""From a configuration to the network of its system, and what `describe` feeds it."""

import torch
from torch import nn

from armillary.core.domain import Batch, TrunkNeeds
from armillary.domains.transients.settings import TransientsRun

_EXAMPLE_LENGTH = 100  # observations of a typical object


def build(config: TransientsRun, trunk: nn.Module | None = None) -> nn.Module:
    """The network as a plain module; a trunk handed in replaces its own."""
    if config.model.kind == "raw":
        from armillary.domains.transients.raw.model import RawClassifier

        return RawClassifier(config.data, config.model, trunk)
    from armillary.domains.transients.t2.model import T2

    return T2(config.data, config.model, trunk)


def trunk_needs(config: TransientsRun) -> TrunkNeeds:
    """Width and causality that a trunk from outside must have."""
    if config.model.kind == "raw":
        return TrunkNeeds(config.model.trunk.width, causal=True)
    return TrunkNeeds(config.model.width, causal=False)


def example_batch(config: TransientsRun, batch_size: int) -> Batch:
    """A batch of the right shapes, for counting costs."""
    bands = len(config.data.bands)
    target = torch.zeros(batch_size, dtype=torch.int64)
    if config.model.kind == "t2":
        shape = (batch_size, config.model.steps, bands)
        return {
            "gp_flux": torch.zeros(shape), "gp_error": torch.ones(shape), "redshift": torch.zeros(batch_size, 2),
            "target": target, "index": target,
        }  # fmt: skip
    shape = (batch_size, _EXAMPLE_LENGTH)
    zeros = torch.zeros(shape)
    return {
        "time": zeros, "flux": zeros, "flux_error": torch.ones(shape), "band": torch.zeros(shape, dtype=torch.int64),
        "mask": torch.ones(shape, dtype=torch.bool), "redshift": torch.zeros(batch_size),
        "redshift_error": torch.zeros(batch_size), "target": target, "index": target,
    }  # fmt: skip
