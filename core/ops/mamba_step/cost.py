"""Counted cost of one token through a Mamba layer."""

from armillary.core.ops.selective_scan import selective_scan_cost


def mamba_step_cost(batch: int, width: int, inner: int, states: int, rank: int, taps: int) -> float:
    """Multiply-adds [MAC]: the four projections, the convolution and one step of the scan."""
    projections = inner * (3 * width + 2 * rank + 2 * states)
    return float(batch) * (projections + inner * taps) + selective_scan_cost(batch, 1, inner, states)


def mamba_step_bytes(batch: int, width: int, inner: int, states: int, rank: int, taps: int, *, item: int = 4) -> float:
    """Bytes that one step must move: every weight read once, windows and states read and written once.

    `item` is the size of a number [byte].
    """
    weights = inner * (3 * width + 2 * rank + 3 * states + taps + 3)
    rows = 2 * width + 2 * inner * (taps - 1 + states)
    return float(item) * (weights + batch * rows)
