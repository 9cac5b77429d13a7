"""Predictions of windows of made-up files, cut as the reader cuts them."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import xarray as xr

Cut = Callable[..., Iterator[xr.Dataset]]


def starts(length: int, window: int, hop: int) -> list[int]:
    """First samples of the windows of a file: every hop, and the last one shifted back so that it is full."""
    if length <= window:
        return [0]
    return [*range(0, length - window, hop), length - window]


def cut(
    voices: np.ndarray,
    *,
    window: int = 16,
    hop: int = 12,
    file: str = "a/x.wav",
    chunk: int = 3,
    seed: int | None = None,
    gains: bool = False,
    rate: int = 8000,
    mixture: np.ndarray | None = None,
) -> Iterator[xr.Dataset]:
    """A perfect separation of `voices` (k, n), in chunks of windows; seed: voices of each window in random order.

    gains: each window at a level of its own.
    """
    rng = np.random.default_rng(seed)
    count, length = voices.shape
    whole = voices.sum(0) if mixture is None else mixture
    places = starts(length, window, hop)
    for first in range(0, len(places), chunk):
        part = places[first : first + chunk]
        estimate = np.zeros((len(part), count, window), np.float32)
        heard = np.zeros((len(part), window), np.float32)
        for row, start in enumerate(part):
            order = np.arange(count) if seed is None else rng.permutation(count)
            own = voices[order, start : start + window]
            estimate[row, :, : own.shape[1]] = own * (rng.uniform(0.1, 10) if gains else 1)
            heard[row, : own.shape[1]] = whole[start : start + window]
        yield xr.Dataset(
            {
                "estimate": (("item", "source", "sample"), estimate),
                "mixture": (("item", "sample"), heard),
                "length": ("item", np.minimum(window, length - np.array(part))),
                "start": ("item", np.array(part)),
                "last": ("item", np.array(part) == places[-1]),
                "file": ("item", np.full(len(part), file)),
            },
            attrs={"sample_rate_hz": rate, "window": window, "hop": hop},
        )


@pytest.fixture(name="cut", scope="session")
def _cut() -> Cut:
    return cut
