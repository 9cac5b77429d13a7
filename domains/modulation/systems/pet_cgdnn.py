"""PET-CGDNN: an estimated phase is turned back, then two convolutions and a GRU."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from armillary.domains.modulation.systems.initialise import glorot
from armillary.domains.modulation.systems.lengths import check_length
from armillary.domains.modulation.systems.settings import PETCGDNNSettings

_HIDDEN = 128


class PETCGDNN(nn.Module):
    """Phase estimation and transformation, convolutions, gated recurrence, (b, 2, l) -> (b, k) for one l >= 12.

    71,871 parameters for 11 classes at l = 128. The phase p [rad] is one linear unit on all 2l values, so the network
    belongs to its length; I' = I cos p + Q sin p, Q' = Q cos p - I sin p. Frames come with unit power; the published
    network reads the sets' own amplitudes (RMS about 0.01), at which deep recurrent layers may not leave chance.

    References:
        Zhang et al. 2021, "An efficient deep learning model for automatic modulation recognition based on parameter
        estimation and transformation".
    """

    def __init__(self, settings: PETCGDNNSettings, classes: int, length: int) -> None:
        super().__init__()
        self.length = length
        self.phase = nn.Linear(2 * length, 1)
        self.first = nn.Conv1d(2, 75, 8)
        self.second = nn.Conv1d(75, 25, 5)
        self.gru = nn.GRU(25, _HIDDEN, batch_first=True)
        self.head = nn.Linear(_HIDDEN, classes)
        glorot(self)

    def forward(self, iq: Float[Tensor, "b 2 l"]) -> Float[Tensor, "b k"]:
        return self.head(self.features(iq))

    def features(self, iq: Float[Tensor, "b 2 l"]) -> Float[Tensor, "b f"]:
        """What the last linear map reads."""
        check_length(iq, self.length, "pet_cgdnn")
        turned = turn_back(iq, self.phase(iq.flatten(1)))
        maps = self.second(self.first(turned).relu()).relu()
        outputs, _ = self.gru(maps.transpose(1, 2))
        return outputs[:, -1]


def turn_back(iq: Float[Tensor, "b 2 l"], phase: Float[Tensor, "b 1"]) -> Float[Tensor, "b 2 l"]:
    """z exp(-i phase), phase [rad]."""
    cosine, sine = phase.cos(), phase.sin()
    real, imaginary = iq[:, 0], iq[:, 1]
    return torch.stack([real * cosine + imaginary * sine, imaginary * cosine - real * sine], dim=1)
