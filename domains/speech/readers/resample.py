"""Another sample rate for a signal that comes in blocks."""

from collections.abc import Iterator

import numpy as np
import soxr
from jaxtyping import Float32

Block = Float32[np.ndarray, " n"]


def resampled_length(num_samples: int, from_hz: int, to_hz: int) -> int:
    """ceil(n to / from): samples that n samples at one rate become at another."""
    return -(-num_samples * to_hz // from_hz)


def resampled(blocks: Iterator[Block], from_hz: int, to_hz: int) -> Iterator[Block]:
    """The blocks at another rate [Hz], `resampled_length` samples of them; zeros stand before and after the signal.

    The result does not depend on where the blocks are cut. Band limit and phase are those of soxr's "HQ": linear
    phase, no delay.
    """
    if from_hz == to_hz:
        yield from blocks
        return
    stream = soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32", quality="HQ")
    taken = given = 0
    for block in blocks:
        taken += len(block)
        out: Block = stream.resample_chunk(block)
        given += len(out)
        if len(out):
            yield out
    # soxr rounds the length; with silence after the end there is always enough, and it is cut.
    silence = np.zeros(-(-from_hz // to_hz) + 1, np.float32)
    rest: Block = stream.resample_chunk(silence, last=True)
    yield rest[: resampled_length(taken, from_hz, to_hz) - given]
