"""A Mamba layer on the places of a map, or on its channels where the map is small."""

from collections.abc import Sequence
from math import prod

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from armillary.core.config.mixers import MambaSettings
from armillary.core.mixers.mamba import Mamba
from armillary.core.ops.precision import accumulation_dtype, full_precision
from armillary.core.tokens import Tokens


class MambaLayer(nn.Module):
    """mamba(norm(tokens)), causal, in float32 or better whatever autocast says; nothing is added to it.

    Tokens are the places of the map, row-major. With `extents` they are its channels instead, and each one's features
    its places: such a layer knows maps of these extents only, so that a larger one is cut into blocks of them, each by
    itself, zeros beyond the end.

    References:
        Ma et al. 2024, "U-Mamba: enhancing long-range dependency for biomedical image segmentation", section 2 (tokens
        of channels: released code only).
    """

    def __init__(self, width: int, state: int, extents: Sequence[int] | None = None) -> None:
        super().__init__()
        self.extents = None if extents is None else tuple(extents)
        features = width if extents is None else prod(extents)
        self.norm = nn.LayerNorm(features)
        self.mamba = Mamba(features, MambaSettings(state=state))

    def forward(self, values: Float[Tensor, "b c *s"]) -> Float[Tensor, "b c *s"]:
        with full_precision(values):
            precise = values.to(accumulation_dtype(values))
            mixed = self._places(precise) if self.extents is None else self._channels(precise, self.extents)
        return mixed.to(values.dtype)

    def _places(self, values: Tensor) -> Tensor:
        return self._mixed(values.flatten(2).mT).mT.unflatten(2, values.shape[2:])

    def _channels(self, values: Tensor, extents: tuple[int, ...]) -> Tensor:
        size, rank = values.shape[2:], len(extents)
        margins = [(0, -length % extent) for length, extent in zip(size, extents, strict=True)]
        whole = functional.pad(values, [amount for margin in reversed(margins) for amount in margin])
        counts = [length // extent for length, extent in zip(whole.shape[2:], extents, strict=True)]
        # (b, c, count, extent, ...) to (b, counts, c, extents), and back.
        split = whole.reshape(*values.shape[:2], *(n for pair in zip(counts, extents, strict=True) for n in pair))
        outer, inner = range(2, 2 + 2 * rank, 2), range(3, 3 + 2 * rank, 2)
        blocks = split.permute(0, *outer, 1, *inner)
        mixed = self._mixed(blocks.reshape(-1, values.shape[1], prod(extents))).reshape(blocks.shape)
        back = [axis for i in range(rank) for axis in (1 + i, 2 + rank + i)]
        joined = mixed.permute(0, 1 + rank, *back).reshape(whole.shape)
        return joined[(..., *(slice(length) for length in size))]

    def _mixed(self, rows: Float[Tensor, "b l d"]) -> Float[Tensor, "b l d"]:
        return self.mamba(Tokens(self.norm(rows)))[0]
