"""MAE: a masked auto-encoder of images and volumes."""

from collections.abc import Callable
from math import prod

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from armillary.core.config.embeddings import GridSinusoidalSettings
from armillary.core.config.mixers import AttentionSettings
from armillary.core.config.norms import LayerNormSettings
from armillary.core.config.trunk import TrunkSettings
from armillary.core.embeddings.grid_sinusoidal import GridSinusoidal
from armillary.core.errors import ConfigError
from armillary.core.objectives.masked import Hiding, keep_visible, put_back
from armillary.core.tokens import Tokens
from armillary.core.trunk import Trunk
from armillary.domains.medical.systems.encoder import EPS, PatchEncoder, glorot
from armillary.domains.medical.systems.patches import patch_counts, patch_pixels, to_patches
from armillary.domains.medical.systems.settings import MAESettings

_STD = 0.02  # of the mask token at first
_LEAST_VARIANCE = 1e-6

Draw = Callable[[Tokens], Hiding]  # chooses what is hidden of an image's tokens


class MAE(nn.Module):
    """Standardised images (b, c, *s), most patches of which are hidden, to the pixels of all patches.

    Only visible patches and the class token go through the encoder; the decoder sees copies of a mask token in the
    hidden places, and all positions.

    Raises ConfigError for images of a single patch.

    References:
        He et al. 2022, "Masked autoencoders are scalable vision learners", section 3.
    """

    def __init__(self, settings: MAESettings, num_outputs: int, channels: int, size: tuple[int, ...]) -> None:
        super().__init__()
        self.settings, self.side = settings, settings.encoder.patch
        counts = patch_counts(size, self.side)
        if prod(counts) < 2:
            raise ConfigError(
                f"images of {size} are one patch of side {self.side}, so nothing of them can be hidden.\n"
                "  Choose a smaller model.encoder.patch, or a larger data.size."
            )
        self.encoder = PatchEncoder(settings.encoder, channels, size, norm=True)
        pixels = patch_pixels(self.side, len(size), channels)
        self.decoder = Decoder(settings, counts, pixels)

    def forward(self, image: Float[Tensor, "b c *s"], draw: Draw) -> tuple[Float[Tensor, "b l f"], Bool[Tensor, "b l"]]:
        """Pixels of every patch, as `target` has them, and True where a patch was hidden."""
        tokens = self.encoder.embed_image(image)
        hiding = draw(tokens)
        seen = self.encoder(keep_visible(tokens, hiding))
        return self.decoder(seen, hiding, tokens), hiding.hidden

    def features(self, image: Float[Tensor, "b c *s"]) -> Float[Tensor, "b f"]:
        """Mean of the encoder's patches where nothing is hidden."""
        tokens = self.encoder(self.encoder.embed_image(image))
        return tokens.values[:, tokens.prefix :].mean(1)

    def target(self, image: Float[Tensor, "b c *s"]) -> Float[Tensor, "b l f"]:
        """What the decoder is to say: pixels, or with normalised_target pixels without their patch's own moments."""
        patches = to_patches(image, self.side)
        if not self.settings.normalised_target:
            return patches
        mean, deviation = _moments(patches)
        return (patches - mean) / deviation

    def pixels(self, prediction: Float[Tensor, "b l f"], image: Float[Tensor, "b c *s"]) -> Float[Tensor, "b l f"]:
        """Predictions as pixels. With normalised_target each patch is told its true moments, of the whole image."""
        if not self.settings.normalised_target:
            return prediction
        mean, deviation = _moments(to_patches(image, self.side))
        return prediction * deviation + mean


class Decoder(nn.Module):
    """The encoder's tokens and mask tokens in the hidden places, to pixels: linear map, positions, blocks, linear map.

    The positions' table has a row for the class token, too.
    """

    def __init__(self, settings: MAESettings, counts: tuple[int, ...], pixels: int) -> None:
        super().__init__()
        width = settings.decoder_width
        self.enter = nn.Linear(settings.encoder.width, width)
        self.mask_token = nn.Parameter(_STD * torch.randn(width))
        self.position = GridSinusoidal(width, GridSinusoidalSettings(extents=counts, prefix=1))
        self.trunk = Trunk(decoder_trunk(settings))
        self.predict = nn.Linear(width, pixels)
        glorot(self)

    def forward(self, seen: Tokens, hiding: Hiding, places: Tokens) -> Float[Tensor, "b l f"]:
        """Pixels at all places after the prefix."""
        entered = seen.with_values(self.enter(seen.values))
        tokens, _ = self.trunk(self.position(put_back(entered, hiding, self.mask_token, places)))
        return self.predict(tokens.values[:, tokens.prefix :])


def decoder_trunk(settings: MAESettings) -> TrunkSettings:
    """Pre-norm blocks of attention and an MLP, a norm at their end."""
    return TrunkSettings(
        width=settings.decoder_width,
        depth=settings.decoder_depth,
        pattern=(AttentionSettings(heads=settings.decoder_heads),),
        norm=LayerNormSettings(eps=EPS),
    )


def _moments(patches: Float[Tensor, "b l f"]) -> tuple[Float[Tensor, "b l 1"], Float[Tensor, "b l 1"]]:
    variance, mean = torch.var_mean(patches, dim=-1, keepdim=True)
    return mean, (variance + _LEAST_VARIANCE).sqrt()
