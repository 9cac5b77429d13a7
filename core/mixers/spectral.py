"""Spectral gating: every channel is filtered by learned weights of its Fourier modes."""

from collections.abc import Sequence
from math import log2

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from armillary.core.config.mixers import SpectralSettings
from armillary.core.mixers.grids import counted_extents, from_grid, grid_of, to_grid
from armillary.core.mixers.protocol import Capabilities, State
from armillary.core.mixers.sequences import refuse_unsupported
from armillary.core.ops.precision import accumulation_dtype, full_precision
from armillary.core.tokens import Grid, Tokens


class Spectral(nn.Module):
    """y = irfftn(rfftn(x) · W) over the axes of the grid, with W one complex weight per mode and channel.

    The filter has the modes of a grid of `extents`. On another grid, mode k (k periods along the axis) keeps its weight
    and modes that the filter or the grid does not have are removed, so that any extent runs, odd ones too. All axes are
    treated as if they wrapped around; the transforms are orthonormal, in float32 or better.

    Masked tokens count as zeros. On one axis that does not wrap, those after a row's last real token are no part of
    the row at all: rows of equal length are transformed together, so a padded row gives what it gives alone and the
    cost stays l log l; there, outputs of masked tokens at the end are zero.

    References:
        Rao et al. 2021, "Global filter networks for image classification".
        Patro et al. 2023, "SpectFormer: frequency and attention is what you need in a vision transformer".
    """

    def __init__(self, width: int, settings: SpectralSettings) -> None:
        super().__init__()
        self.width, self.extents = width, settings.extents
        modes = (*self.extents[:-1], self.extents[-1] // 2 + 1)
        # Real pairs, which every optimiser and file format takes.
        self.filter = nn.Parameter(settings.std * torch.randn(*modes, width, 2))
        rank = len(self.extents)
        self.capabilities = Capabilities(causal=False, streaming=False, cost_order="l log l", grid_ranks=(rank,))

    def forward(
        self, tokens: Tokens, state: State = None, context: Tokens | None = None
    ) -> tuple[Float[Tensor, "b l d"], None]:
        refuse_unsupported("spectral", self.capabilities, tokens, state, context)
        grid = grid_of(tokens, "spectral", self.capabilities.grid_ranks)
        values, dtype = tokens.zeroed(), accumulation_dtype(tokens.values)
        if values.numel() == 0:
            return values, None
        with full_precision(values):
            if tokens.mask is not None and grid.periodic == (False,):
                mixed = self._filtered_rows(values.to(dtype), _ends(tokens.mask))
            else:
                mixed = from_grid(self._filtered(to_grid(values.to(dtype), grid)), grid)
        return mixed.to(values.dtype), None

    def step(self, tokens: Tokens, state: State) -> tuple[Float[Tensor, "b l d"], None]:
        return self(tokens, state)

    def cost(self, batch: int, length: int, grid: Grid | None = None) -> float:
        """Multiply-adds [MAC]: two real transforms at 5/4 n log2 n each, and four a mode for the weights."""
        logarithm = sum(log2(max(extent, 1)) for extent in counted_extents(length, grid, self.capabilities.grid_ranks))
        return float(batch) * length * self.width * (2.5 * logarithm + 2)

    def _filtered(self, values: Float[Tensor, "b *g d"]) -> Float[Tensor, "b *g d"]:
        """The whole of a grid, filtered."""
        extents = list(values.shape[1:-1])
        axes = list(range(1, len(extents) + 1))
        weights = torch.view_as_complex(resized_filter(self.filter.to(values.dtype), self.extents, extents))
        modes = torch.fft.rfftn(values, dim=axes, norm="ortho") * weights
        if len(axes) > 1:
            modes = torch.fft.ifftn(modes, dim=axes[:-1], norm="ortho")
        # What a real inverse does with these imaginary parts is left to the library; without them it has no choice.
        modes = torch.view_as_complex(torch.view_as_real(modes) * _real_ends(extents[-1], values))
        return torch.fft.irfft(modes, n=extents[-1], dim=axes[-1], norm="ortho")

    def _filtered_rows(self, values: Float[Tensor, "b l d"], ends: list[int]) -> Float[Tensor, "b l d"]:
        """Each row filtered up to its end, rows of equal length together."""
        order = sorted(range(len(ends)), key=ends.__getitem__)
        rows = values[order]
        parts: list[Tensor] = []
        first = 0
        while first < len(order):
            end = ends[order[first]]
            last = first + ends.count(end)
            part = rows[first:last, :end]
            filtered = self._filtered(part) if end else part
            parts.append(functional.pad(filtered, (0, 0, 0, values.shape[1] - end)))
            first = last
        inverse = torch.tensor(order, device=values.device).argsort()
        return torch.cat(parts)[inverse]


def resized_filter(
    weights: Float[Tensor, "*m d 2"], extents: Sequence[int], wanted: Sequence[int]
) -> Float[Tensor, "*n d 2"]:
    """The modes of a filter for a grid of `extents` laid out for a grid of `wanted`; modes of one grid only are zero.

    Along all axes but the last, modes lie in the order 0, 1, ..., -2, -1; along the last, from 0 to half the extent.
    An even extent n has the mode n/2 once, as -n/2 on all axes but the last.
    """
    for axis, (old, new) in enumerate(zip(extents[:-1], wanted[:-1], strict=True)):
        index = torch.arange(new, device=weights.device)
        mode = torch.where(index < (new + 1) // 2, index, index - new)
        shared = (mode >= -(old // 2)) & (mode < (old + 1) // 2)
        weights = weights.index_select(axis, mode % old) * shared.view(-1, *(1,) * (weights.ndim - axis - 1))
    axis, kept = len(wanted) - 1, min(extents[-1], wanted[-1]) // 2 + 1
    missing = wanted[-1] // 2 + 1 - kept
    return functional.pad(weights.narrow(axis, 0, kept), (0, 0, 0, 0, 0, missing))


def _real_ends(extent: int, like: Tensor) -> Float[Tensor, "k 1 2"]:
    """One, but zero for the imaginary part of modes that are their own mirror: the mean, and half an even extent."""
    ends = like.new_ones(extent // 2 + 1, 1, 2)
    ends[0, :, 1] = 0
    if extent % 2 == 0:
        ends[-1, :, 1] = 0
    return ends


def _ends(mask: Tensor) -> list[int]:
    """One more than the place of each row's last real token; the whole row on the meta device, where none is known."""
    if mask.is_meta:
        return [mask.shape[1]] * mask.shape[0]
    places = torch.arange(1, mask.shape[1] + 1, device=mask.device)
    return (mask * places).amax(1).tolist()
