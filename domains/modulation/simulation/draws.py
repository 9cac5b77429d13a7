"""Random numbers of many frames at once, each a function of its own seed."""

import numpy as np
from jaxtyping import Float64, Int64, UInt64

from armillary.core.random import item_normal, item_uniform


class Draws:
    """Named streams of numbers for the seeds (n,)."""

    def __init__(self, seeds: UInt64[np.ndarray, " n"]) -> None:
        self.seeds = seeds

    def __len__(self) -> int:
        return len(self.seeds)

    def uniform(self, name: str, count: int, low: float = 0.0, high: float = 1.0) -> Float64[np.ndarray, "n count"]:
        """Evenly spread between `low` and `high`."""
        return low + (high - low) * item_uniform(self.seeds, name, count)

    def normal(self, name: str, count: int) -> Float64[np.ndarray, "n count"]:
        """Standard normal."""
        return item_normal(self.seeds, name, count)

    def integers(self, name: str, count: int, below: int) -> Int64[np.ndarray, "n count"]:
        """Whole numbers from 0 to `below` - 1."""
        return (item_uniform(self.seeds, name, count) * below).astype(np.int64)
