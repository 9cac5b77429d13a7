"""A strided convolution of both rails, any trunk, and one pooled vector: the network of state-space models."""

from jaxtyping import Float
from torch import Tensor, nn

from armillary.core.config.embeddings import ConvEmbeddingSettings
from armillary.core.config.heads import PooledSettings
from armillary.core.domain import TrunkNeeds
from armillary.core.embeddings.conv import ConvEmbedding
from armillary.core.heads.pooled import PooledClassifier
from armillary.core.trunk import Trunk
from armillary.domains.modulation.systems.settings import SequenceSettings


class Sequence(nn.Module):
    """Frames (b, 2, l) to class scores (b, k), for any l; a trunk that is handed in replaces that of the settings."""

    def __init__(self, settings: SequenceSettings, classes: int, length: int, trunk: nn.Module | None = None) -> None:
        super().__init__()
        self.embed = ConvEmbedding(
            settings.trunk.width, ConvEmbeddingSettings(features=2, kernel=settings.kernel, stride=settings.stride)
        )
        self.trunk = trunk or Trunk(settings.trunk)
        width: int = self.trunk.output_width  # pyright: ignore[reportAssignmentType]
        self.head = PooledClassifier(width, PooledSettings(classes=classes, pooling=settings.pooling))

    def forward(self, iq: Float[Tensor, "b 2 l"]) -> Float[Tensor, "b k"]:
        return self.head.classify(self.features(iq))

    def features(self, iq: Float[Tensor, "b 2 l"]) -> Float[Tensor, "b f"]:
        """The pooled vector: what the last linear map reads."""
        tokens, _ = self.trunk(self.embed(iq.mT))
        return self.head.pool(tokens)

    def after_step(self) -> None:
        """Folds the moments of the trunk's batch norms, where it has any."""
        fold = getattr(self.trunk, "after_step", None)
        if fold is not None:
            fold()


def sequence_needs(settings: SequenceSettings) -> TrunkNeeds:
    """What a trunk that is handed in must take."""
    return TrunkNeeds(width=settings.trunk.width, causal=False)
