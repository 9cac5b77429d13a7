"""Fabricated prediction records."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

from armillary.domains.medical.assemble import truth_of
from armillary.domains.medical.recipes import chase, mae_pretrain_vit_s, pneumoniamnist, simulated
from armillary.domains.medical.settings import MedicalRun

LABELS = ("Edema", "Mass", "Hernia")
Make = Callable[..., xr.Dataset]


def _named(config: MedicalRun, names: tuple[str, ...]) -> MedicalRun:
    return config.model_copy(update={"data": config.data.model_copy(update={"names": names})})


@pytest.fixture
def labels() -> MedicalRun:
    """A run of three labels."""
    return _named(simulated(), LABELS)


@pytest.fixture
def classes() -> MedicalRun:
    """A run of three classes."""
    return _named(pneumoniamnist(), LABELS)


@pytest.fixture
def masks() -> MedicalRun:
    """A run of two structures."""
    return _named(chase(), ("left lung", "heart"))


@pytest.fixture
def pretrain() -> MedicalRun:
    """A run that fills in what is hidden."""
    return mae_pretrain_vit_s()


@pytest.fixture
def make() -> Make:
    """Records of given probabilities and targets (n, k), along `label`, or along `class` with truth."""

    def made(
        probability: np.ndarray, target: np.ndarray, axis: str = "label", **who: np.ndarray | list[str]
    ) -> xr.Dataset:
        target = target.astype(np.float32)
        records = xr.Dataset(
            {
                "probability": (("item", axis), probability.astype(np.float32)),
                "target": (("item", axis), target),
                **{name: ("item", np.asarray(values)) for name, values in who.items()},
            },
            {"item": [f"image {i}" for i in range(len(target))], axis: list(LABELS[: target.shape[1]])},
        )
        return records.assign(truth=("item", truth_of(target))) if axis == "class" else records

    return made


@pytest.fixture
def records(make: Make) -> xr.Dataset:
    """120 images with ties, unknown labels, and thresholds; better than chance."""
    rng = np.random.default_rng(3)
    target = (rng.random((120, 3)) < [0.4, 0.2, 0.1]).astype(np.float32)
    probability = (0.3 * target + 0.7 * rng.random((120, 3))).round(1)
    target[rng.random((120, 3)) < 0.15] = np.nan
    made = make(
        probability, target, sex=rng.choice(["F", "M", ""], 120), view=rng.choice(["PA", "AP"], 120),
        age_years=np.where(rng.random(120) < 0.1, np.nan, rng.uniform(10, 90, 120)).astype(np.float32),
    )  # fmt: skip
    return made.assign(threshold=("label", np.array([0.4, 0.5, 0.6], np.float32)))


@pytest.fixture
def class_records(make: Make) -> xr.Dataset:
    """90 images, some of no known class."""
    rng = np.random.default_rng(4)
    truth = rng.integers(0, 3, 90)
    probability = rng.dirichlet([1.0, 1.0, 1.0], 90).round(1) + 1e-3
    probability[np.arange(90), truth] += 0.4
    target = np.eye(3, dtype=np.float32)[truth]
    target[:10] = np.nan
    return make(
        probability / probability.sum(1, keepdims=True), target, "class", sex=rng.choice(["F", "M"], 90),
        view=rng.choice(["PA", "AP"], 90), age_years=rng.uniform(10, 90, 90).astype(np.float32),
    )  # fmt: skip


@pytest.fixture
def mask_records() -> xr.Dataset:
    """40 images with scores of two structures; some were not drawn, and some have no known spacing."""
    rng = np.random.default_rng(5)
    scores = {name: rng.random((40, 2)).astype(np.float32) for name in ("dice", "iou", "hd95")}
    for values in scores.values():
        values[:5, 0] = np.nan
    return xr.Dataset(
        {
            **{name: (("item", "structure"), values) for name, values in scores.items()},
            "spacing_mm": (("item", "axis"), np.where(rng.random((40, 1)) < 0.5, [0.5, 0.7], np.nan)),
        },
        {"item": np.arange(40).astype(np.str_), "structure": ["left lung", "heart"]},
    )


@pytest.fixture
def pretrain_records() -> xr.Dataset:
    """30 images with errors."""
    rng = np.random.default_rng(6)
    return xr.Dataset(
        {name: ("item", rng.random(30).astype(np.float32)) for name in ("masked_error", "mean_error")},
        {"item": np.arange(30).astype(np.str_)},
    )
