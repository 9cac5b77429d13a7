"""The part that a vision transformer and a masked auto-encoder share by name: patches, class token, trunk."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from armillary.core.config.embeddings import GridSinusoidalSettings, PatchEmbeddingSettings
from armillary.core.config.mixers import AttentionSettings
from armillary.core.config.norms import LayerNormSettings
from armillary.core.config.trunk import TrunkSettings
from armillary.core.embeddings.patch import PatchEmbedding
from armillary.core.tokens import Tokens
from armillary.core.trunk import Trunk
from armillary.domains.medical.systems.patches import patch_counts
from armillary.domains.medical.systems.settings import ViTSettings

EPS = 1e-6  # of the published networks' layer norms
_STD = 0.02  # of tokens that are learned, at first


class PatchEncoder(nn.Module):
    """Images (b, c, *s) to tokens: a linear map of each patch, a class token before them, fixed positions, the trunk.

    `forward` mixes tokens of `embed_image`, all or some of them. A trunk that is handed in replaces the own; where it
    mixes tokens on a grid there is no class token, which would stand outside of it. With `norm` the tokens are normed
    at the end. `layer_decay` scales learning rates: of the embedding by its (blocks + 1)-th power, of each block by
    one power less than of what is below it; what stands above the blocks has one.
    """

    def __init__(
        self,
        settings: ViTSettings,
        channels: int,
        size: tuple[int, ...],
        norm: bool,
        trunk: nn.Module | None = None,
    ) -> None:
        super().__init__()
        rank = len(size)
        position = GridSinusoidalSettings(extents=patch_counts(size, settings.patch), prefix=1)
        patches = PatchEmbeddingSettings(features=channels, patch=(settings.patch,) * rank, position=position)
        self.embed = PatchEmbedding(settings.width, patches)
        self.trunk = trunk or Trunk(encoder_trunk(settings))
        self.class_token = None if on_grid(self.trunk) else nn.Parameter(_STD * torch.randn(settings.width))
        self.output_width: int = self.trunk.output_width  # pyright: ignore[reportAttributeAccessIssue]
        self.norm = nn.LayerNorm(self.output_width, eps=EPS) if norm else None
        glorot(self.embed if trunk else self)
        if settings.layer_decay < 1:
            self._scale_rates(settings.layer_decay)

    def forward(self, tokens: Tokens) -> Tokens:
        """Embedded tokens, mixed."""
        mixed, _ = self.trunk(tokens)
        return mixed if self.norm is None else mixed.with_values(self.norm(mixed.values))

    def embed_image(self, image: Float[Tensor, "b c *s"]) -> Tokens:
        """The class token, where there is one, and a token for each patch; an image's end is filled with zeros."""
        tokens = self.embed(image.movedim(1, -1))
        if self.class_token is None:
            return tokens
        values = tokens.values
        leading = self.class_token.to(values.dtype).expand(values.shape[0], 1, -1)
        return replace(tokens, values=torch.cat((leading, values), dim=1), prefix=1)

    def _scale_rates(self, decay: float) -> None:
        blocks = list(self.trunk.blocks()) if hasattr(self.trunk, "blocks") else []  # pyright: ignore[reportCallIssue]
        layers = [list(self.embed.parameters()), *(list(block.parameters()) for block in blocks)]
        if self.class_token is not None:
            layers[0].append(self.class_token)
        for layer, parameters in enumerate(layers):
            for parameter in parameters:
                parameter.lr_scale = decay ** (len(layers) - layer)  # pyright: ignore[reportAttributeAccessIssue]


def encoder_trunk(settings: ViTSettings) -> TrunkSettings:
    """Pre-norm blocks of attention and an MLP of four times the width; the norm at their end is not the trunk's."""
    return TrunkSettings(
        width=settings.width,
        depth=settings.depth,
        pattern=(AttentionSettings(heads=settings.heads),),
        norm=LayerNormSettings(eps=EPS),
        dropout=settings.dropout,
        drop_path=settings.drop_path,
        final_norm=False,
    )


def on_grid(trunk: nn.Module) -> bool:
    """Whether a trunk's mixers read tokens that fill a grid, so that none may stand outside of it."""
    capabilities = getattr(trunk, "capabilities", None)
    return bool(capabilities is not None and capabilities.grid_ranks)


def glorot(module: nn.Module) -> None:
    """Linear maps with variance 2 / (inputs + outputs), uniform, and without biases at first.

    References:
        Glorot and Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks", eq. 16.
    """
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            nn.init.zeros_(part.bias)
