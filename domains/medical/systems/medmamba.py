"""MedMamba: blocks of convolutions beside cross scans, patches merged from stage to stage."""

from jaxtyping import Float
from torch import Tensor, nn

from armillary.core.config import mixers
from armillary.core.config.embeddings import PatchEmbeddingSettings
from armillary.core.config.norms import NoNormSettings
from armillary.core.config.trunk import StageSettings, TrunkSettings
from armillary.core.embeddings.patch import PatchEmbedding
from armillary.core.mixers.grid_convolution import GridConv
from armillary.core.tokens import Tokens
from armillary.core.trunk import Trunk
from armillary.domains.medical.systems.pooled import PooledNetwork, check_stages, convolution, start_linear
from armillary.domains.medical.systems.settings import MedMambaSettings


class MedMamba(PooledNetwork):
    """Images (b, c, *s) to scores (b, k): patches, stages of SS-Conv-SSM blocks, mean over the grid, linear map.

    Sides of any length, images of two axes or three. A trunk that is handed in takes tokens of the first stage's width
    on a grid of ceil(side / patch). There is no norm before the mean, as in the released code.

    In two respects it is not the released network: drop path there leaves out the scan of a block alone, here the
    convolutions beside it too; and an odd number of tokens along an axis is filled with zeros before merging, where
    theirs is cut. With equal weights, no drop path and sides of whole patches that halve thrice, both give the same
    scores.

    References:
        Yue and Li 2024, "MedMamba: vision Mamba for medical image classification", figure 3 and its released code.
    """

    def __init__(
        self,
        settings: MedMambaSettings,
        num_outputs: int,
        channels: int,
        size: tuple[int, ...],
        trunk: nn.Module | None = None,
    ) -> None:
        check_stages(settings.widths, settings.depths)
        rank = len(size)
        embed = NormedPatches(channels, settings.widths[0], settings.patch, rank)
        super().__init__(embed, trunk or Trunk(medmamba_trunk(settings, rank)), num_outputs)
        start_linear(self)
        for module in self.modules():
            if isinstance(module, GridConv):
                # As released. The variance of a depth-wise one is then by the channels smaller than its own start.
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


class NormedPatches(nn.Module):
    """A linear map and a layer norm of each patch; what lies beyond an edge counts as zeros."""

    def __init__(self, channels: int, width: int, patch: int, rank: int) -> None:
        super().__init__()
        convolution(rank)  # refuses other ranks
        self.patches = PatchEmbedding(width, PatchEmbeddingSettings(features=channels, patch=(patch,) * rank))
        self.norm = nn.LayerNorm(width)

    def forward(self, image: Float[Tensor, "b c *s"]) -> Tokens:
        tokens = self.patches(image.movedim(1, -1))
        return tokens.with_values(self.norm(tokens.values))


def medmamba_trunk(settings: MedMambaSettings, rank: int) -> TrunkSettings:
    """Its stages: the mixer's branches have norms of their own, so the blocks have none, and no channel mixer."""
    scan = mixers.CrossScanSettings(rank=rank, state=settings.state, gate=True)  # pyright: ignore[reportArgumentType]
    block = mixers.MedMambaSettings(scan=scan)
    stages = tuple(
        StageSettings(depth=depth, pattern=(block,), width=width, resample="norm_down2" if index else "none")
        for index, (width, depth) in enumerate(zip(settings.widths, settings.depths, strict=True))
    )
    return TrunkSettings(
        width=settings.widths[0],
        stages=stages,
        channel=None,
        norm=NoNormSettings(),
        drop_path=settings.drop_path,
        final_norm=False,
        grid_rank=rank,
    )
