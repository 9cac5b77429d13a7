"""ViT: a plain vision transformer as a classifier of images and volumes."""

from jaxtyping import Float
from torch import Tensor, nn

from armillary.core.domain import TrunkNeeds
from armillary.core.errors import ConfigError
from armillary.domains.medical.systems.encoder import EPS, PatchEncoder
from armillary.domains.medical.systems.rollout import attention_rollout
from armillary.domains.medical.systems.settings import ViTSettings

_HEAD_STD = 2e-5  # scores start at zero, nearly, so that a pre-trained encoder is not pulled about by chance


class ViT(nn.Module):
    """Standardised images (b, c, *s) to scores (b, k), for any s.

    Pooling 'mean': average of the patches, without the class token, then a norm. 'class': a norm, then the class token.
    Everything below `encoder` has the names that it has in a masked auto-encoder, so that one can start from the other.

    References:
        Dosovitskiy et al. 2021, "An image is worth 16x16 words".
        Xiao et al. 2023, "Delving into masked autoencoders for multi-label thorax disease classification" (mean of the
        patches, initial head, rates of the layers).
    """

    def __init__(
        self,
        settings: ViTSettings,
        num_outputs: int,
        channels: int,
        size: tuple[int, ...],
        trunk: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.pooling = settings.pooling
        self.encoder = PatchEncoder(settings, channels, size, norm=settings.pooling == "class", trunk=trunk)
        if self.pooling == "class" and self.encoder.class_token is None:
            raise ConfigError(
                "pooling 'class' needs a class token, and the mixers of this trunk read tokens on a grid only.\n"
                "  Set model.pooling=mean."
            )
        width = self.encoder.output_width
        self.norm = nn.LayerNorm(width, eps=EPS) if settings.pooling == "mean" else None
        self.classify = nn.Linear(width, num_outputs)
        nn.init.trunc_normal_(self.classify.weight, std=_HEAD_STD)
        nn.init.zeros_(self.classify.bias)

    def forward(self, image: Float[Tensor, "b c *s"]) -> Float[Tensor, "b k"]:
        return self.classify(self.features(image))

    def features(self, image: Float[Tensor, "b c *s"]) -> Float[Tensor, "b f"]:
        """The pooled vector: what the last linear map reads."""
        tokens = self.encoder(self.encoder.embed_image(image))
        if self.norm is None:
            return tokens.values[:, 0]
        return self.norm(tokens.values[:, tokens.prefix :].mean(1))

    def attention_map(self, image: Float[Tensor, "b c *s"]) -> Float[Tensor, "b *grid"]:
        """The share of each patch in what is pooled, by attention rollout; the class token's own share is missing.

        Raises ValueError where the trunk does not consist of attention.
        """
        tokens = self.encoder.embed_image(image)
        assert tokens.grid is not None
        shares = attention_rollout(self.encoder.trunk, tokens)
        pooled = shares[:, 0] if self.pooling == "class" else shares[:, tokens.prefix :].mean(1)
        return pooled[:, tokens.prefix :].unflatten(1, tokens.grid.extents)

    def after_step(self) -> None:
        """Folds the moments of the trunk's batch norms, where it has any."""
        fold = getattr(self.encoder.trunk, "after_step", None)
        if fold is not None:
            fold()


def vit_needs(settings: ViTSettings, rank: int) -> TrunkNeeds:
    """What a trunk that is handed in must take."""
    return TrunkNeeds(width=settings.width, causal=False, grid_rank=rank)
