"""Operators that other programs lack, written out in ones that they have. For inference: without gradients."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from armillary.core.ops.selective_scan import portable  # registers the operator that is written out

Table = dict[Any, Callable[..., Any]]


def plain_forms() -> Table:
    """For programs in torch: our own operators alone."""
    assert portable.CHUNK > 0
    return {torch.ops.armillary.selective_scan_portable.default: scan}


def onnx_forms() -> Table:
    """For ONNX: what its operators do not cover, too."""
    written = {torch.ops.aten.cummax.default: cummax, torch.ops.aten.searchsorted.Tensor: searchsorted}
    return {**plain_forms(), **written}


def scan(
    x: Float[Tensor, "b l d"],
    dt: Float[Tensor, "b l d"],
    A: Float[Tensor, "d n"],
    B: Float[Tensor, "b l g n"],
    C: Float[Tensor, "b l g n"],
    initial_state: Float[Tensor, "b d n"],
    chunk: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """The selective scan by doubling: after step k every state holds the last 2^k tokens. Memory is b l d n.

    As many operators as the logarithm of the length, where a loop written out has as many as the length.

    References:
        Hillis and Steele 1986, "Data parallel algorithms".
    """
    share = x.shape[-1] // B.shape[2]
    weight, read = (rows.repeat_interleave(share, dim=2) for rows in (B, C))
    decay = torch.exp(dt[..., None] * A)
    states = (dt * x)[..., None] * weight
    states = torch.cat([states[:, :1] + decay[:, :1] * initial_state[:, None], states[:, 1:]], 1)
    reach = 1
    while reach < x.shape[1]:
        later, factor = states[:, reach:], decay[:, reach:]
        states = torch.cat([states[:, :reach], later + factor * states[:, :-reach]], 1)
        decay = torch.cat([decay[:, :reach], factor * decay[:, :-reach]], 1)
        reach *= 2
    borders = torch.cat([initial_state[:, None], states[:, chunk - 1 : -1 : chunk]], 1).transpose(0, 1)
    return (states * read).sum(-1), states[:, -1], borders


def cummax(values: Shaped[Tensor, "*b"], dim: int) -> tuple[Tensor, Tensor]:
    """Running maximum and its latest place, from all pairs: memory grows with the square of the axis. No NaN."""
    rows = values.movedim(dim, -1).unsqueeze(-2)
    place = torch.arange(rows.shape[-1], device=values.device)
    so_far = place <= place.unsqueeze(-1)
    floating = values.dtype.is_floating_point
    lowest = float("-inf") if floating else torch.iinfo(values.dtype).min
    largest = torch.where(so_far, rows, lowest).amax(-1)
    latest = torch.where(so_far & (rows >= largest.unsqueeze(-1)), place, -1).amax(-1)
    return largest.movedim(-1, dim), latest.movedim(-1, dim)


def searchsorted(
    levels: Float[Tensor, " n"], values: Float[Tensor, "*b"], *, out_int32: bool = False, right: bool = False, **_: Any
) -> Shaped[Tensor, "*b"]:
    """The number of levels below each value, or not above it with `right`, from all pairs."""
    values = values.unsqueeze(-1)
    below = levels <= values if right else levels < values
    return below.sum(-1, dtype=torch.int32 if out_int32 else torch.int64)
