"""KD-CNN: the small convolutional student."""

from jaxtyping import Float
from torch import Tensor, nn

from armillary.domains.modulation.systems.conv_norm import ConvNorm, fold_norms
from armillary.domains.modulation.systems.settings import KDCNNSettings


class KDCNN(nn.Module):
    """Three convolutions, each with batch norm and ReLU, mean over time, a linear map; (b, 2, l) -> (b, k), any l.

    Our reading of a small convolutional student: kernels 2 x 7, 7, 5; 32, 64, 64 maps; strides 1, 2, 2. 36,299
    parameters for 11 classes.
    """

    def __init__(self, settings: KDCNNSettings, classes: int, length: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            ConvNorm(2, 32, 7, activation=nn.ReLU()),
            ConvNorm(32, 64, 7, stride=2, activation=nn.ReLU()),
            ConvNorm(64, 64, 5, stride=2, activation=nn.ReLU()),
        )
        self.dropout = nn.Dropout(settings.dropout)
        self.head = nn.Linear(64, classes)

    def forward(self, iq: Float[Tensor, "b 2 l"]) -> Float[Tensor, "b k"]:
        return self.head(self.features(iq))

    def features(self, iq: Float[Tensor, "b 2 l"]) -> Float[Tensor, "b f"]:
        """What the last linear map reads."""
        return self.dropout(self.convolutions(iq).mean(-1))

    def after_step(self) -> None:
        """Folds the batch norms' moments."""
        fold_norms(self)
