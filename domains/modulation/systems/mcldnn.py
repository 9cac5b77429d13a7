"""MCLDNN: convolutions over both rails and over each alone, two LSTM layers, two dense layers."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from armillary.domains.modulation.systems.initialise import glorot
from armillary.domains.modulation.systems.settings import MCLDNNSettings

_MAPS, _JOINT, _HIDDEN = 50, 100, 128


class MCLDNN(nn.Module):
    """Multi-channel convolutional long short-term deep network, (b, 2, l) -> (b, k); l >= 5.

    406,199 parameters for 11 classes, whatever l: each LSTM layer has an input and a recurrent bias, as in the
    published code, whose recurrent layers are cuDNN's. Frames come with unit power; the published network reads the
    sets' own amplitudes (RMS about 0.01), at which deep recurrent layers may not leave chance. Convolutions keep the
    length by zeros before the frame (causal) or around it, one more behind than before where the kernel is even.

    References:
        Xu et al. 2020, "A spatiotemporal multi-channel learning framework for automatic modulation recognition".
    """

    def __init__(self, settings: MCLDNNSettings, classes: int, length: int) -> None:
        super().__init__()
        self.both = nn.Conv2d(1, _MAPS, (2, 8))
        self.rails = nn.ModuleList(nn.Conv1d(1, _MAPS, 8) for _ in range(2))
        self.apart = nn.Conv2d(_MAPS, _MAPS, (1, 8))
        self.joint = nn.Conv2d(2 * _MAPS, _JOINT, (2, 5))
        self.lstm = nn.LSTM(_JOINT, _HIDDEN, num_layers=2, batch_first=True)
        self.dense = nn.Sequential(
            nn.Linear(_HIDDEN, _HIDDEN), nn.SELU(), nn.Dropout(settings.dropout),
            nn.Linear(_HIDDEN, _HIDDEN), nn.SELU(), nn.Dropout(settings.dropout),
        )  # fmt: skip
        self.head = nn.Linear(_HIDDEN, classes)
        glorot(self)

    def forward(self, iq: Float[Tensor, "b 2 l"]) -> Float[Tensor, "b k"]:
        return self.head(self.features(iq))

    def features(self, iq: Float[Tensor, "b 2 l"]) -> Float[Tensor, "b f"]:
        """What the last linear map reads."""
        outputs, _ = self.lstm(self._maps(iq).transpose(1, 2))
        return self.dense(outputs[:, -1])

    def _maps(self, iq: Float[Tensor, "b 2 l"]) -> Float[Tensor, "b c m"]:
        """100 maps of l - 4 samples."""
        both = self.both(functional.pad(iq[:, None], (3, 4, 0, 1))).relu()
        before = functional.pad(iq, (7, 0))
        rails = torch.stack([conv(before[:, i : i + 1]).relu() for i, conv in enumerate(self.rails)], dim=2)
        apart = self.apart(functional.pad(rails, (3, 4))).relu()
        return self.joint(torch.cat([both, apart], dim=1)).relu().squeeze(2)
