"""Every few steps of a multichannel series become a token, through a strided convolution."""

from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from armillary.core.channels.activations import ACTIVATIONS
from armillary.core.config.embeddings import ConvEmbeddingSettings
from armillary.core.config.parts import POSITIONS, build_part
from armillary.core.tokens import Tokens


class ConvEmbedding(nn.Module):
    """A strided convolution over steps: ceil(l / stride) tokens, each the owner of `stride` steps.

    A token sees `kernel` steps: its own and, on both sides, equally many others (one more on the right when the
    number is odd); a causal one sees only its own and earlier steps. Masked steps and steps beyond the ends count as
    zeros. A token is real if any of its own steps is, and stands at the mean of their positions.
    """

    def __init__(self, width: int, settings: ConvEmbeddingSettings) -> None:
        super().__init__()
        self.stride = settings.stride
        extra = settings.kernel - settings.stride
        left = extra if settings.causal else extra // 2
        self.padding = left, extra - left
        self.conv = nn.Conv1d(settings.features, width, settings.kernel, settings.stride, bias=settings.bias)
        self.activation = ACTIVATIONS[settings.activation] if settings.activation else None
        self.position = build_part(POSITIONS, settings.position, width)

    def forward(
        self,
        series: Float[Tensor, "b l f"],
        mask: Bool[Tensor, "b l"] | None = None,
        positions: Float[Tensor, "b l p"] | None = None,
    ) -> Tokens:
        known = series.new_ones(series.shape[:2]) if mask is None else mask.to(series.dtype)
        left, right = self.padding
        right += -series.shape[1] % self.stride
        padded = functional.pad((series * known.unsqueeze(-1)).mT, [left, right])
        values = self.conv(padded).mT
        values = values if self.activation is None else self.activation(values)
        real = self._cells(known.unsqueeze(-1)).sum((2, 3))
        return self.position(
            Tokens(values, None if mask is None else real > 0, self._mean_positions(positions, known, real))
        )

    def _cells(self, field: Float[Tensor, "b l f"]) -> Float[Tensor, "b m s f"]:
        """The `stride` steps that each token owns, side by side, zeros beyond the end."""
        batch, length, features = field.shape
        padded = functional.pad(field, [0, 0, 0, -length % self.stride])
        return padded.reshape(batch, -(-length // self.stride), self.stride, features)

    def _mean_positions(
        self, positions: Float[Tensor, "b l p"] | None, known: Float[Tensor, "b l"], real: Float[Tensor, "b m"]
    ) -> Float[Tensor, "b m p"] | None:
        if positions is None:
            return None
        total = self._cells(positions.where(known.unsqueeze(-1) > 0, 0.0)).sum(2)
        return total / real.clamp(min=1).unsqueeze(-1).to(positions.dtype)
