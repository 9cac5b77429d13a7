"""Each patch of a 1-D, 2-D or 3-D field becomes a token on a grid."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from armillary.core.config.embeddings import PatchEmbeddingSettings
from armillary.core.config.parts import POSITIONS, build_part
from armillary.core.tokens import Grid, Tokens


class PatchEmbedding(nn.Module):
    """A linear map of each patch of a channels-last field, row-major, ceil(extent / patch) tokens along each axis.

    The last patch of an axis is filled with zeros; a periodic axis must hold whole patches.

    References:
        Dosovitskiy et al. 2021, "An image is worth 16x16 words", eq. 1.
    """

    def __init__(self, width: int, settings: PatchEmbeddingSettings) -> None:
        super().__init__()
        self.patch = settings.patch
        self.periodic = settings.periodic or (False,) * len(settings.patch)
        volume = 1
        for side in settings.patch:
            volume *= side
        self.project = nn.Linear(volume * settings.features, width, bias=settings.bias)
        self.position = build_part(POSITIONS, settings.position, width)

    def forward(self, field: Float[Tensor, "b *grid c"]) -> Tokens:
        extents = tuple(field.shape[1:-1])
        self._check(extents)
        counts = tuple(-(-extent // side) for extent, side in zip(extents, self.patch, strict=True))
        values = self.project(self._patches(field, counts))
        return self.position(Tokens(values, grid=Grid(counts, self.periodic)))

    def _patches(self, field: Float[Tensor, "b *grid c"], counts: tuple[int, ...]) -> Float[Tensor, "b l f"]:
        rank, batch, channels = len(self.patch), field.shape[0], field.shape[-1]
        padding = [
            amount
            for extent, side in zip(reversed(field.shape[1:-1]), reversed(self.patch), strict=True)
            for amount in (0, -extent % side)
        ]
        pairs = [size for pair in zip(counts, self.patch, strict=True) for size in pair]
        blocks = functional.pad(field, [0, 0, *padding]).reshape(batch, *pairs, channels)
        outer, inner = range(1, 2 * rank, 2), range(2, 2 * rank + 1, 2)
        return blocks.permute(0, *outer, *inner, 2 * rank + 1).flatten(rank + 1).flatten(1, rank)

    def _check(self, extents: tuple[int, ...]) -> None:
        if len(extents) != len(self.patch):
            raise ValueError(
                f"expected a field with {len(self.patch)} axes between batch and channels, got extents {extents}; "
                "give `patch` one side for each axis"
            )
        for extent, side, wraps in zip(extents, self.patch, self.periodic, strict=True):
            if wraps and extent % side:
                raise ValueError(f"a periodic axis of {extent} does not hold whole patches of {side}; change `patch`")
