"""Counted cost of PolyReLU."""


def polyrelu_cost(elements: int) -> float:
    """Multiply-adds [MAC] of one forward pass over `elements` numbers: three each, by Horner's scheme."""
    return 3.0 * elements


def polyrelu_bytes(elements: int, itemsize: int = 4, *, backward: bool = False) -> float:
    """Bytes moved at least by one pass: x read and y written; backward, two read and the gradient of x written."""
    return (3.0 if backward else 2.0) * elements * itemsize
