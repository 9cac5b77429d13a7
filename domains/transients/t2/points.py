"""Points: the observations of many objects as the Gaussian process sees them, and in which order they are worked on."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float64, Int64


@dataclass(frozen=True)
class Points:
    """Observations of n objects, the rows of one object contiguous, in any order of time.

    time [d], from any origin; wavelength [Angstrom]; flux and flux_error in one unit, the error positive.
    """

    time: Float64[np.ndarray, " rows"]
    wavelength: Float64[np.ndarray, " rows"]
    flux: Float64[np.ndarray, " rows"]
    flux_error: Float64[np.ndarray, " rows"]
    row_size: Int64[np.ndarray, " n"]

    def __post_init__(self) -> None:
        if self.row_size.sum() != len(self.time):
            raise ValueError(f"row_size adds up to {self.row_size.sum()}, but there are {len(self.time)} observations")
        if (self.row_size < 1).any():
            raise ValueError(f"object {np.argmax(self.row_size < 1)} has no observation; leave it out")
        good = np.isfinite(self.time) & np.isfinite(self.flux) & np.isfinite(self.flux_error) & (self.flux_error > 0)
        if not good.all():
            row = int(np.argmin(good))
            raise ValueError(
                f"observation {row} has time {self.time[row]}, flux {self.flux[row]} and flux_error "
                f"{self.flux_error[row]}; expected finite values and a positive error. Drop such rows first."
            )

    def __len__(self) -> int:
        return len(self.row_size)

    @cached_property
    def starts(self) -> Int64[np.ndarray, " n"]:
        """First row of each object."""
        return np.cumsum(self.row_size) - self.row_size

    def sorted(self) -> "Points":
        """The same points, those of each object in order of time."""
        owner = np.repeat(np.arange(len(self)), self.row_size)
        order = np.lexsort((self.time, owner))
        return replace(
            self,
            time=self.time[order],
            wavelength=self.wavelength[order],
            flux=self.flux[order],
            flux_error=self.flux_error[order],
        )


def sorted_blocks(sizes: Int64[np.ndarray, " n"], largest: int) -> list[Int64[np.ndarray, " members"]]:
    """Objects from the longest to the shortest, in blocks of at most `largest`. Cost: O(n log n)."""
    order = np.argsort(-sizes, kind="stable")
    return [order[first : first + largest] for first in range(0, len(order), largest)]
