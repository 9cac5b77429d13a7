"""Windows that slide over a recording of unknown length, in constant memory."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

Samples = Float32[np.ndarray, " n"]


@dataclass(frozen=True)
class Window:
    """A part of a recording: place of its first sample, samples, and whether the recording ends with it."""

    start: int
    samples: Samples
    last: bool


def slide(blocks: Iterator[Samples], length: int, hop: int) -> Iterator[Window]:
    """Windows of `length` samples, `hop` apart; every sample is in one, and how the blocks are cut changes nothing.

    The last window ends with the recording. It is full too, nearer to the one before if need be, so that both have at
    least length - hop samples in common; only a recording shorter than a window gives a shorter one. One without
    samples gives none. What is kept of the samples is shorter than a window, a hop and a block.
    """
    held, first, start = np.zeros(0, np.float32), 0, 0
    for block in blocks:
        held = np.concatenate([held, block])
        # Only with a sample behind it a window is known not to be the last.
        while first + len(held) > start + length:
            yield Window(start, held[start - first : start - first + length].copy(), False)
            # The last window may begin anywhere after the start of the one before it.
            held, first, start = held[start - first :], start, start + hop
    end = first + len(held)
    if end:
        begin = max(end - length, 0)
        yield Window(begin, held[begin - first :], True)
