"""Counted cost of one token through a Mamba-2 layer."""


def mamba2_step_cost(batch: int, width: int, heads: int, head_width: int, states: int, groups: int, taps: int) -> float:
    """Multiply-adds [MAC]: both projections, the convolution, the state decayed, written and read, and D·x."""
    inner = heads * head_width
    channels = inner + 2 * groups * states
    projections = width * (inner + channels + heads) + inner * width
    return float(batch) * (projections + channels * taps + inner * (3 * states + 1))


def mamba2_step_bytes(
    batch: int, width: int, heads: int, head_width: int, states: int, groups: int, taps: int, *, item: int = 4
) -> float:
    """Bytes that one step must move: every weight read once, windows and states read and written once.

    `item` is the size of a number [byte].
    """
    inner = heads * head_width
    channels = inner + 2 * groups * states
    weights = width * (2 * inner + channels + heads) + channels * (taps + 1) + 3 * heads + inner
    rows = 2 * width + 2 * channels * (taps - 1) + 2 * inner * states
    return float(item) * (weights + batch * rows)
