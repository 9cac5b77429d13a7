"""LSTM2: two LSTM layers over amplitude and phase."""

from math import pi

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from armillary.domains.modulation.systems.initialise import glorot
from armillary.domains.modulation.systems.settings import LSTM2Settings


class LSTM2(nn.Module):
    """Two LSTM layers over (amplitude, phase), the last state to class scores, (b, 2, l) -> (b, k).

    The amplitude has unit L2 norm over the frame, the phase is in units of pi, so the frame's power has no say.

    References:
        Rajendran et al. 2018, "Deep learning models for wireless signal classification with distributed low-cost
        spectrum sensors", section III.
    """

    def __init__(self, settings: LSTM2Settings, classes: int, length: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(2, settings.hidden, num_layers=2, dropout=settings.dropout, batch_first=True)
        self.head = nn.Linear(settings.hidden, classes)
        glorot(self)

    def forward(self, iq: Float[Tensor, "b 2 l"]) -> Float[Tensor, "b k"]:
        return self.head(self.features(iq))

    def features(self, iq: Float[Tensor, "b 2 l"]) -> Float[Tensor, "b f"]:
        """What the last linear map reads: the state after the last sample."""
        outputs, _ = self.lstm(amplitude_phase(iq).transpose(1, 2))
        return outputs[:, -1]


def amplitude_phase(iq: Float[Tensor, "b 2 l"]) -> Float[Tensor, "b 2 l"]:
    """|z| over its L2 norm in the frame, and arg(z) / pi in [-1, 1]; zeros stay zeros."""
    amplitude = functional.normalize(iq.square().sum(1).sqrt(), dim=-1)
    return torch.stack([amplitude, torch.atan2(iq[:, 1], iq[:, 0]) / pi], dim=1)
