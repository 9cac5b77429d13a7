"""Neighbourhood attention as masked attention over all pairs of tokens: the specification of every faster tier."""

from math import gcd

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def neighbours(query: int, extent: int, window: int, dilation: int, causal: bool, periodic: bool) -> dict[int, int]:
    """The keys that a query of one axis attends, each with its offset from the query in units of the dilation."""
    position, residue = divmod(query, dilation)
    if periodic:
        count = min(window, extent // gcd(extent, dilation))
        offsets = range(-(count // 2), count - count // 2)
        return {(query + dilation * offset) % extent: offset for offset in offsets}
    members = len(range(residue, extent, dilation))
    if causal:
        first, last = max(0, position - window + 1), position + 1
    else:
        first = max(0, min(position - window // 2, members - window))
        last = min(first + window, members)
    return {residue + dilation * member: member - position for member in range(first, last)}


def neighbourhood_attention_reference(
    q: Float[Tensor, "b *grid h e"],
    k: Float[Tensor, "b *grid h e"],
    v: Float[Tensor, "b *grid h f"],
    bias: Float[Tensor, "h *offsets"] | None,
    mask: Bool[Tensor, "b *grid"] | None,
    extents: Int[Tensor, "b r"] | None,
    window: tuple[int, ...],
    dilation: tuple[int, ...],
    causal: tuple[bool, ...],
    periodic: tuple[bool, ...],
    scale: float,
) -> Float[Tensor, "b *grid h f"]:
    """softmax(scale · q·k + bias) v over the pairs that `neighbours` allows on every axis.

    References:
        Hassani et al. 2023, "Neighborhood attention transformer", eq. 2-4; Hassani and Shi 2022, "Dilated neighborhood
        attention transformer", eq. 2.
    """
    grid = q.shape[1:-2]
    rows: list[Tensor] = []
    for row in range(q.shape[0]):
        sizes = grid if extents is None else tuple(extents[row].tolist())
        axes = zip(grid, sizes, window, dilation, causal, periodic, strict=True)
        tables = [_pairs(*axis) for axis in axes]
        allowed, offset = tables[0]
        for K, (more, further) in zip(window[1:], tables[1:], strict=True):
            allowed = torch.kron(allowed, more)
            ones = torch.ones_like(further)
            offset = torch.kron(offset * (2 * K - 1), ones) + torch.kron(torch.ones_like(offset), further)
        if mask is not None:
            allowed = allowed & mask[row].flatten()
        scores = scale * torch.einsum("ihe,jhe->hij", q[row].flatten(0, -3), k[row].flatten(0, -3))
        scores = scores if bias is None else scores + bias.flatten(1)[:, offset]
        weights = scores.masked_fill(~allowed, -torch.inf).softmax(-1).masked_fill(~allowed, 0)
        rows.append(torch.einsum("hij,jhf->ihf", weights, v[row].flatten(0, -3)))
    return torch.stack(rows).unflatten(1, grid)


def _pairs(
    padded: int, extent: int, window: int, dilation: int, causal: bool, periodic: bool
) -> tuple[Bool[Tensor, "i j"], Int[Tensor, "i j"]]:
    """Which pairs of one axis are allowed, and the index of each in the bias; zero outside the row's extent."""
    allowed = torch.zeros(padded, padded, dtype=torch.bool)
    offsets = torch.zeros(padded, padded, dtype=torch.long)
    for query in range(extent):
        for key, offset in neighbours(query, extent, window, dilation, causal, periodic).items():
            allowed[query, key], offsets[query, key] = True, offset + window - 1
    return allowed, offsets
