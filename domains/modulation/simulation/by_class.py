"""Frames to make, class by class and a bounded number at once."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Int64

_AT_ONCE = 512  # frames whose arrays are in memory together


def by_class(place: Int64[np.ndarray, " n"], classes: Sequence[str]) -> Iterator[tuple[str, Int64[np.ndarray, " m"]]]:
    """Each class with the indices of its frames, all of them once.

    Raises:
        ValueError: a place that is no class; its frame would be left as memory happened to be.
    """
    if ((place < 0) | (place >= len(classes))).any():
        raise ValueError(f"places {np.unique(place).tolist()} of classes; expected 0 to {len(classes) - 1}")
    for number, name in enumerate(classes):
        rows = np.flatnonzero(place == number).astype(np.int64)
        for first in range(0, len(rows), _AT_ONCE):
            yield name, rows[first : first + _AT_ONCE]
