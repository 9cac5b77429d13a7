"""Counted cost of the selective scan."""


def selective_scan_cost(batch: int, length: int, width: int, state: int) -> float:
    """Multiply-adds [MAC] of one forward pass: dt·A, a·h, (dt·x)·B and C·h for every state, and D·x.

    Exponentials, one for every state, are not counted.
    """
    return float(batch) * length * width * (4 * state + 1)


def selective_scan_bytes(
    batch: int, length: int, width: int, state: int, groups: int = 1, *, gated: bool = True, item: int = 4
) -> float:
    """Bytes that one forward pass must move: each input read once and each output written once.

    `item` is the size of a number [byte] in x, dt, z, B, C and y; A, D and both states are float32.
    """
    tokens = width * (4 if gated else 3) + 2 * groups * state
    return float(batch) * length * tokens * item + 4 * (2.0 * batch * width * state + width * (state + 1))
