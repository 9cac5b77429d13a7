"""Counted cost of neighbourhood attention."""

from math import prod


def neighbourhood_cost(
    batch: int, grid: tuple[int, ...], heads: int, width: int, window: tuple[int, ...], value_width: int | None = None
) -> float:
    """Multiply-adds [MAC] of one forward pass: a score and a weighted value for each query and key of its window.

    Every query counts a full window: the shorter ones at the start of a causal axis cost the same.
    """
    pairs = float(batch) * prod(grid) * heads * prod(window)
    return pairs * (width + (width if value_width is None else value_width))


def neighbourhood_bytes(
    batch: int, grid: tuple[int, ...], heads: int, width: int, itemsize: int = 4, value_width: int | None = None
) -> float:
    """Bytes moved at least in one forward pass: q, k and v read once, the output written once."""
    rows = float(batch) * prod(grid) * heads
    return rows * itemsize * 2 * (width + (width if value_width is None else value_width))
