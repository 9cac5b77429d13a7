"""A strided convolution, any trunk on the grid, the mean over it: small images, and any mixer of the core."""

from jaxtyping import Float
from torch import Tensor, nn

from armillary.core.config.embeddings import GridSinusoidalSettings
from armillary.core.config.trunk import TrunkSettings
from armillary.core.embeddings.grid_sinusoidal import GridSinusoidal
from armillary.core.errors import ConfigError
from armillary.core.tokens import Tokens
from armillary.core.trunk import Trunk
from armillary.domains.medical.systems.pooled import PooledNetwork, StridedConv, on_grid
from armillary.domains.medical.systems.settings import StagesSettings


class Stages(PooledNetwork):
    """Images (b, c, *s) to scores (b, k), for any s of two axes, or of three where the mixers read them.

    The stem is one convolution; sines and cosines of a token's place are added where the settings ask for them, which
    mixers without an order of their own need (attention). A trunk that is handed in replaces that of the settings.
    """

    def __init__(
        self,
        settings: StagesSettings,
        num_outputs: int,
        channels: int,
        size: tuple[int, ...],
        trunk: nn.Module | None = None,
    ) -> None:
        if trunk is None:
            _check_rank(settings.trunk, len(size))
        stem = Stem(channels, settings.trunk.width, settings.stem, tuple(size), settings.positions)
        super().__init__(stem, trunk or Trunk(settings.trunk), num_outputs, settings.dropout)


class Stem(nn.Module):
    """A token for every `step` pixels along each axis, from these and one pixel more."""

    def __init__(self, channels: int, width: int, step: int, size: tuple[int, ...], positions: bool) -> None:
        super().__init__()
        self.convolve = StridedConv(channels, width, step + 1, step, len(size))
        extents = tuple(-(-side // step) for side in size)
        self.position = GridSinusoidal(width, GridSinusoidalSettings(extents=extents)) if positions else None

    def forward(self, image: Float[Tensor, "b c *s"]) -> Tokens:
        tokens = on_grid(self.convolve(image))
        return tokens if self.position is None else self.position(tokens)


def _check_rank(trunk: TrunkSettings, rank: int) -> None:
    resampled = any(stage.resample != "none" for stage in trunk.all_stages)
    if resampled and trunk.grid_rank != rank:
        raise ConfigError(
            f"model.trunk resamples grids of {trunk.grid_rank} axes, and the images have {rank}.\n"
            f"  Set model.trunk.grid_rank={rank}."
        )
