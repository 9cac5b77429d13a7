"""From a configuration to the network of its system, and what `describe` feeds it."""

import torch
from torch import nn

from armillary.core.domain import Batch, TrunkNeeds
from armillary.core.errors import ConfigError
from armillary.domains.speech.separator import Separator
from armillary.domains.speech.settings import SpeechRun
from armillary.domains.speech.systems.conv_tasnet import ConvTasNet
from armillary.domains.speech.systems.filterbank import build_bank
from armillary.domains.speech.systems.mask_trunk import MaskTrunk
from armillary.domains.speech.systems.masking import MaskingNetwork

_EXAMPLE_S = 2.0  # length of an example where items are whole mixtures [s]


def build(config: SpeechRun, trunk: nn.Module | None = None) -> nn.Module:
    """The network as a plain module; a trunk handed in replaces its own.

    Raises:
        ConfigError: a trunk for a network that has none, or one that does not fit.
    """
    model, voices = config.model, config.data.voices
    if model.kind == "conv_tasnet":
        if trunk is not None:
            raise ConfigError("conv_tasnet is a network of its own kind without a trunk; choose mask_trunk")
        masker: nn.Module = ConvTasNet(model, voices)
    else:
        masker = MaskTrunk(model, voices, trunk)
    network = MaskingNetwork(build_bank(model.filterbank), masker, voices)
    return Separator(network, config.data.sample_rate_hz)


def trunk_needs(config: SpeechRun) -> TrunkNeeds:
    """What a trunk that is handed in must take."""
    if config.model.kind == "mask_trunk":
        return TrunkNeeds(width=config.model.trunk.width, causal=config.model.causal)
    raise ConfigError(f"{config.model.kind} is a network of its own kind without a trunk")


def example_batch(config: SpeechRun, batch_size: int) -> Batch:
    """Mixtures of a training item's length, for describe."""
    samples = round((config.data.segment_s or _EXAMPLE_S) * config.data.sample_rate_hz)
    generator = torch.Generator().manual_seed(0)
    sources = 0.1 * torch.randn(batch_size, config.data.voices, samples, generator=generator)
    return {
        "mixture": sources.sum(1),
        "sources": sources,
        "length": torch.full((batch_size,), samples),
        "index": torch.arange(batch_size),
    }
