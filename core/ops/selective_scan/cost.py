"""Counted cost of the selective scan."""


def selective_scan_cost(batch: int, length: int, width: int, state: int) -> float:
    """Multiply-adds [MAC] of one forward pass: dt·A, a·h, (dt·x)·B and C·h for every state, and D·x.

    Exponentials, one for every state, are not counted.
    """
    return float(batch) * length * width * (4 * state + 1)
