"""Vision Mamba: scans of the row of patches in both directions, a class token in its middle."""

from math import prod

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from armillary.core.config.embeddings import LearnedPositionSettings
from armillary.core.config.mixers import MambaSettings
from armillary.core.config.norms import RMSNormSettings
from armillary.core.config.trunk import TrunkSettings
from armillary.core.embeddings.learned import LearnedPosition
from armillary.core.errors import ConfigError
from armillary.core.mixers.mamba import Mamba
from armillary.core.tokens import Tokens
from armillary.core.trunk import Trunk
from armillary.domains.medical.systems.pooled import convolution
from armillary.domains.medical.systems.settings import VimSettings


class Vim(nn.Module):
    """Images (b, c, *size) to scores (b, k): patches, class token in the middle, positions, trunk, linear map.

    Patches may overlap; the last of an axis is filled with zeros, so that every pixel is seen. Positions are learned
    for one size, of two axes or three. A trunk that is handed in mixes a row of tokens and keeps all of them.

    With the settings as they are, three channels, 224 x 224 pixels and 1000 classes it has 7,148,008 parameters; 7 M
    are published. The released code takes the mean of the two scans of a block, core's Mamba their sum: with half of
    the weights in the projection behind them the scores are exactly the same, so these start at half of the published
    range, and foreign weights go in with `out_proj.weight` halved. What is left of the difference is that a step of an
    optimiser such as Adam moves that matrix twice as far in relation.

    References:
        Zhu et al. 2024, "Vision Mamba: efficient visual representation learning with bidirectional state space model",
        algorithm 1, and its released configuration (class token in the middle, mean of both scans).
    """

    def __init__(
        self,
        settings: VimSettings,
        num_outputs: int,
        channels: int,
        size: tuple[int, ...],
        trunk: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.size = tuple(size)
        self.embed = Patches(channels, settings.width, settings.patch, settings.stride or settings.patch, len(size))
        length = prod(self.embed.extents(self.size))
        self.middle = length // 2
        self.class_token = nn.Parameter(nn.init.trunc_normal_(torch.empty(settings.width), std=0.02))
        self.class_token.no_weight_decay = True  # pyright: ignore[reportAttributeAccessIssue]
        self.position = LearnedPosition(settings.width, LearnedPositionSettings(max_length=length + 1))
        self.trunk = trunk or _started(Trunk(vim_trunk(settings)), settings.depth)
        width: int = self.trunk.output_width  # pyright: ignore[reportAssignmentType]
        self.classify = nn.Linear(width, num_outputs)
        nn.init.trunc_normal_(self.classify.weight, std=0.02)
        nn.init.zeros_(self.classify.bias)

    def forward(self, image: Float[Tensor, "b c *s"]) -> Float[Tensor, "b k"]:
        return self.classify(self.features(image))

    def features(self, image: Float[Tensor, "b c *s"]) -> Float[Tensor, "b f"]:
        """The class token after the trunk: what the last linear map reads.

        Raises ValueError for images of another size, and for a trunk that has not kept all tokens.
        """
        if tuple(image.shape[2:]) != self.size:
            raise ValueError(
                f"vim has learned positions for images of {self.size}, got {tuple(image.shape[2:])}; "
                "bring the images to that size (data.size)"
            )
        row = self._row(image)
        mixed: Tensor = self.trunk(self.position(Tokens(row)))[0].values
        if mixed.shape[1] != row.shape[1]:
            raise ValueError(
                f"vim reads its class token at place {self.middle} of {row.shape[1]}, got {mixed.shape[1]} tokens "
                "back; give a trunk that does not resample"
            )
        return mixed[:, self.middle]

    def after_step(self) -> None:
        """Folds the moments of the trunk's batch norms, where it has any."""
        fold = getattr(self.trunk, "after_step", None)
        if fold is not None:
            fold()

    def _row(self, image: Float[Tensor, "b c *s"]) -> Float[Tensor, "b l d"]:
        """The patches with the class token in their middle."""
        patches = self.embed(image)
        class_token = self.class_token.expand(len(patches), 1, -1)
        return torch.cat((patches[:, : self.middle], class_token, patches[:, self.middle :]), dim=1)


class Patches(nn.Module):
    """A linear map of each patch, every `stride` pixels: (b, c, *s) to rows (b, l, d), row-major.

    Along an axis of n pixels stand ceil((n - patch) / stride) + 1 of them, at least one.
    """

    def __init__(self, channels: int, width: int, patch: int, stride: int, rank: int) -> None:
        super().__init__()
        if stride > patch:
            raise ConfigError(
                f"model.stride={stride} skips pixels between patches of {patch}.\n"
                f"  Set it to {patch} or less, or leave it out."
            )
        self.patch, self.stride = patch, stride
        self.project = convolution(rank)(channels, width, patch, stride)
        bound = (channels * patch**rank) ** -0.5
        nn.init.trunc_normal_(self.project.weight, std=bound, a=-2 * bound, b=2 * bound)
        nn.init.zeros_(_bias(self.project))

    def forward(self, image: Float[Tensor, "b c *s"]) -> Float[Tensor, "b l d"]:
        sides = tuple(image.shape[2:])
        edges: list[int] = []
        for side, count in zip(reversed(sides), reversed(self.extents(sides)), strict=True):
            edges += [0, (count - 1) * self.stride + self.patch - side]
        return self.project(functional.pad(image, edges)).flatten(2).mT

    def extents(self, size: tuple[int, ...]) -> tuple[int, ...]:
        """Patches along each axis of an image."""
        return tuple(max(-(-(side - self.patch) // self.stride), 0) + 1 for side in size)


def vim_trunk(settings: VimSettings) -> TrunkSettings:
    """Its blocks: a norm and a bidirectional Mamba, no channel mixer."""
    return TrunkSettings(
        width=settings.width,
        depth=settings.depth,
        pattern=(MambaSettings(state=settings.state, bidirectional=True),),
        channel=None,
        norm=RMSNormSettings(eps=1e-5),
        drop_path=settings.drop_path,
    )


@torch.no_grad()
def _started(trunk: Trunk, depth: int) -> Trunk:
    """Projections out of the blocks smaller by the root of the depth, as published, and by two, for the mean."""
    for module in trunk.modules():
        if isinstance(module, Mamba):
            module.out_proj.weight.mul_(0.5 * depth**-0.5)
    return trunk


def _bias(layer: nn.Conv2d | nn.Conv3d) -> Tensor:
    assert layer.bias is not None
    return layer.bias
