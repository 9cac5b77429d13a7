"""Fabricated prediction records."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

from armillary.domains.transients.recipes import raw_spcc
from armillary.domains.transients.settings import TransientsRun

DAYS = (0.0, 5.0, 10.0, 20.0, 50.0, 100.0)
Make = Callable[..., xr.Dataset]


@pytest.fixture
def config() -> TransientsRun:
    run = raw_spcc()
    return run.model_copy(update={"predict": run.predict.model_copy(update={"days": DAYS})})


@pytest.fixture
def make() -> Make:
    """Records of given probabilities (n, k) and truths (n,), the same on every day; the score marks truth -1."""

    def made(probability: np.ndarray, truth: np.ndarray, classes: tuple[str, ...] = ("Ia", "II", "Ibc")) -> xr.Dataset:
        early = np.repeat(probability[:, None], len(DAYS), 1)
        return xr.Dataset(
            {
                "probability": (("item", "class"), probability.astype(np.float32)),
                "truth": ("item", truth.astype(np.int64)),
                "group": ("item", np.arange(len(truth)).astype(np.str_)),
                "early_probability": (("item", "day", "class"), early.astype(np.float32)),
                "open_set_score": ("item", 1 - probability.max(1).astype(np.float32)),
            },
            {"item": [f"SN{i}" for i in range(len(truth))], "class": list(classes), "day": list(DAYS)},
        )

    return made


@pytest.fixture
def records(make: Make) -> xr.Dataset:
    """150 items, 20 of them of no known class; probabilities with ties, better than chance."""
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 3, 150)
    probability = rng.dirichlet([1.0, 1.0, 1.0], 150).round(1) + 1e-3
    probability[np.arange(150), truth] += 0.5
    truth[:20] = -1
    return make(probability / probability.sum(1, keepdims=True), truth)
