"""Each irregular observation becomes a token."""

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from armillary.core.config.embeddings import ObservationEmbeddingSettings
from armillary.core.embeddings.continuous_time import ContinuousTime
from armillary.core.tokens import Tokens


class ObservationEmbedding(nn.Module):
    """Map of the features + learned vector of the channel + encoding of the time, for each observation.

    The map of the features is linear, or, with `hidden`, linear - GELU - linear. Times are kept as positions, in
    their own unit. Padding may hold any finite value and any valid channel.
    """

    def __init__(self, width: int, settings: ObservationEmbeddingSettings) -> None:
        super().__init__()
        hidden = settings.hidden
        self.features = nn.Linear(settings.features, hidden or width)
        self.contract = nn.Sequential(nn.GELU(), nn.Linear(hidden, width)) if hidden else nn.Identity()
        self.channel = nn.Embedding(settings.channels, width)
        nn.init.normal_(self.channel.weight, std=0.02)
        self.channel.weight.no_weight_decay = True  # pyright: ignore[reportAttributeAccessIssue]
        self.time = ContinuousTime(width, settings.time)

    def forward(
        self,
        features: Float[Tensor, "b l f"],
        channel: Int[Tensor, "b l"],
        time: Float[Tensor, "b l p"],
        mask: Bool[Tensor, "b l"] | None = None,
    ) -> Tokens:
        values = self.contract(self.features(features)) + self.channel(channel)
        return self.time(Tokens(values, mask, time))
