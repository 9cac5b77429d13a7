"""Counted cost of the depth-wise convolution."""


def depthwise_conv_cost(batch: int, length: int, channels: int, taps: int) -> float:
    """Multiply-adds [MAC] of one forward pass; the SiLU is not counted."""
    return float(batch) * length * channels * taps


def depthwise_conv_bytes(batch: int, length: int, channels: int, item: int = 4) -> float:
    """Memory traffic [byte] of one forward pass, each number of `item` bytes read or written once."""
    return 2.0 * batch * length * channels * item
