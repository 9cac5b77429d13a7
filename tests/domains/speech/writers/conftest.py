"""Predictions of made-up files whose separation is perfect."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import xarray as xr

Predict = Callable[..., Iterator[xr.Dataset]]


def predict(
    file: str, voices: np.ndarray, *, window: int = 1000, hop: int = 750, chunk: int = 2, **attrs: object
) -> Iterator[xr.Dataset]:
    """Chunks of windows of voices (k, n); attrs: level and format, say."""
    length = voices.shape[1]
    places = [0] if length <= window else [*range(0, length - window, hop), length - window]
    for first in range(0, len(places), chunk):
        part = np.array(places[first : first + chunk])
        estimate = np.zeros((len(part), len(voices), window), np.float32)
        for row, start in enumerate(part):
            own = voices[:, start : start + window]
            estimate[row, :, : own.shape[1]] = own
        yield xr.Dataset(
            {
                "estimate": (("item", "source", "sample"), estimate),
                "mixture": (("item", "sample"), estimate.sum(1)),
                "length": ("item", np.minimum(window, length - part)),
                "start": ("item", part),
                "last": ("item", part == places[-1]),
                "file": ("item", np.full(len(part), file)),
            },
            {"item": [f"{file}:{start}" for start in part], "source": np.arange(1, len(voices) + 1)},
            {"sample_rate_hz": 8000, "window": window, "hop": hop, **attrs},
        )


@pytest.fixture(name="predict", scope="session")
def _predict() -> Predict:
    return predict
