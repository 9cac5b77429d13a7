"""Each step of a multichannel series becomes a token."""

from jaxtyping import Bool, Float
from torch import Tensor, nn

from armillary.core.channels.activations import ACTIVATIONS
from armillary.core.config.embeddings import LinearEmbeddingSettings
from armillary.core.config.parts import POSITIONS, build_part
from armillary.core.tokens import Tokens


class LinearEmbedding(nn.Module):
    """act(x W + b) of each step, plus its position; the same as a convolution of width one."""

    def __init__(self, width: int, settings: LinearEmbeddingSettings) -> None:
        super().__init__()
        self.project = nn.Linear(settings.features, width, bias=settings.bias)
        self.activation = ACTIVATIONS[settings.activation] if settings.activation else None
        self.position = build_part(POSITIONS, settings.position, width)

    def forward(
        self,
        series: Float[Tensor, "b l f"],
        mask: Bool[Tensor, "b l"] | None = None,
        positions: Float[Tensor, "b l p"] | None = None,
    ) -> Tokens:
        values = self.project(series)
        values = values if self.activation is None else self.activation(values)
        return self.position(Tokens(values, mask, positions))
