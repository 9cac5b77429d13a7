"""Counted cost of PolyNorm."""


def polynorm_cost(elements: int) -> float:
    """Multiply-adds [MAC] of one forward pass over `elements` numbers.

    Five each for x², x³ and the three means, and three for the cubic. Roots, one a mean, are not counted.
    """
    return 8.0 * elements


def polynorm_bytes(elements: int, itemsize: int = 4, *, backward: bool = False) -> float:
    """Bytes moved at least by one pass: x read and y written; backward, two read and the gradient of x written."""
    return (3.0 if backward else 2.0) * elements * itemsize
