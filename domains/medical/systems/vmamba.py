"""VMamba of the second generation: cross scans with one state and MLPs, convolutions from stage to stage."""

from jaxtyping import Float
from torch import Tensor, nn

from armillary.core.config.channels import MLPSettings
from armillary.core.config.mixers import CrossScanSettings
from armillary.core.config.trunk import StageSettings, TrunkSettings
from armillary.core.tokens import Tokens
from armillary.core.trunk import Trunk
from armillary.domains.medical.systems.pooled import PooledNetwork, StridedConv, check_stages, on_grid, start_linear
from armillary.domains.medical.systems.settings import VMambaSettings


class VMamba(PooledNetwork):
    """Images (b, c, *s) to scores (b, k): stem, stages of cross scans, layer norm, mean over the grid, linear map.

    Sides of any length, images of two axes or three. A trunk that is handed in takes tokens of the first stage's width
    on a grid of a quarter of each side.

    With the settings as they are, three channels and 1000 classes it has 30,254,248 parameters; 30 M are published.
    Two things differ from the released code: our depth-wise convolutions have a bias, 5,184 of these parameters; and
    the projections inside of a scan keep the start that sets the range of its steps, where theirs are drawn anew with
    all other linear maps.

    References:
        Liu et al. 2024, "VMamba: visual state space model", section 4 and the released configuration of VMamba-T
        (one state, ratio 1, 8 blocks in the third stage).
    """

    def __init__(
        self,
        settings: VMambaSettings,
        num_outputs: int,
        channels: int,
        size: tuple[int, ...],
        trunk: nn.Module | None = None,
    ) -> None:
        check_stages(settings.widths, settings.depths)
        rank = len(size)
        stem = ConvStem(channels, settings.widths[0], rank)
        super().__init__(stem, trunk or Trunk(vmamba_trunk(settings, rank)), num_outputs)
        start_linear(self)


class ConvStem(nn.Module):
    """norm(conv(gelu(norm(conv(image))))) with two convolutions of three pixels and a stride of two."""

    def __init__(self, channels: int, width: int, rank: int) -> None:
        super().__init__()
        half = max(width // 2, 1)
        self.first, self.second = StridedConv(channels, half, 3, 2, rank), StridedConv(half, width, 3, 2, rank)
        self.first_norm, self.second_norm = nn.LayerNorm(half), nn.LayerNorm(width)

    def forward(self, image: Float[Tensor, "b c *s"]) -> Tokens:
        normed = self.first_norm(self.first(image).movedim(1, -1))
        tokens = on_grid(self.second(nn.functional.gelu(normed).movedim(-1, 1)))
        return tokens.with_values(self.second_norm(tokens.values))


def vmamba_trunk(settings: VMambaSettings, rank: int) -> TrunkSettings:
    """Its stages; the final norm is the one that the head of the paper has."""
    scan = CrossScanSettings(rank=rank, state=settings.state, expand=settings.expand)  # pyright: ignore[reportArgumentType]
    stages = tuple(
        StageSettings(depth=depth, pattern=(scan,), width=width, resample="conv_norm2" if index else "none")
        for index, (width, depth) in enumerate(zip(settings.widths, settings.depths, strict=True))
    )
    return TrunkSettings(
        width=settings.widths[0],
        stages=stages,
        channel=MLPSettings(ratio=4.0),
        drop_path=settings.drop_path,
        grid_rank=rank,
    )
