"""Half as many tokens, by a convolution whose windows overlap."""

import torch
from torch import nn
from torch.nn import functional

from armillary.core.config.norms import BatchNormSettings
from armillary.core.convolutions import ShortConv
from armillary.core.errors import ConfigError
from armillary.core.norms import BatchNorm
from armillary.core.resample import coarser
from armillary.core.tokens import Grid, Tokens


class ConvMerge(nn.Module):
    """gelu(norm(convolution)) with a stride of two along a sequence or a grid of one axis: ceil(n / 2) tokens of n.

    Masks and positions become those of `Merge`: a token is real if any of its two own is, and stands at the mean of
    them. Masked tokens and those beyond the ends count as zeros; a periodic axis wraps. Prefix tokens stay, as if
    among copies of themselves.

    References:
        Wu et al. 2021, "CvT: introducing convolutions to vision transformers", section 3.1 (convolutional token
        embedding, there with a layer norm).
    """

    def __init__(self, in_width: int, out_width: int, rank: int, kernel: int = 3) -> None:
        super().__init__()
        if rank != 1:
            raise ConfigError(
                f"resample='conv2' convolves along one axis, got grid_rank={rank}.\n"
                "  Set resample to 'down2', which merges neighbours along every axis."
            )
        self.convolve = ShortConv(in_width, out_width, kernel, stride=2, bias=False)
        self.norm = BatchNorm(out_width, BatchNormSettings())

    def forward(self, tokens: Tokens) -> Tokens:
        places = coarser(tokens, 1)
        prefix, values = tokens.prefix, tokens.zeroed()
        convolved = self.convolve(values[:, prefix:], wrap=_wraps(tokens.grid))
        if prefix:
            convolved = torch.cat([self.convolve.same(values[:, :prefix]), convolved], dim=1)
        return places.with_values(functional.gelu(self.norm(convolved, places.mask)))


def _wraps(grid: Grid | None) -> bool:
    return grid is not None and grid.periodic[0]
