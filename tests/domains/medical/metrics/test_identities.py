"""What must hold of every metric of every task: order, weights, parts, nothing at all."""

import math
import pickle

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from armillary.core.bootstrap import bootstrap
from armillary.domains.medical.metrics import metrics
from armillary.domains.medical.recipes import chase, mae_pretrain_vit_s, pneumoniamnist, simulated, vit_s_cxr14
from armillary.domains.medical.settings import MedicalRun

Case = tuple[MedicalRun, xr.Dataset]


@pytest.fixture(params=["labels", "classes", "masks", "pretrain"])
def case(request: pytest.FixtureRequest) -> Case:
    """A run of each task with records of it."""
    names = {"labels": "records", "classes": "class_records", "masks": "mask_records", "pretrain": "pretrain_records"}
    return request.getfixturevalue(request.param), request.getfixturevalue(names[request.param])


def _ones(records: xr.Dataset) -> np.ndarray:
    return np.ones(records.sizes["item"])


def _same(value: float, expected: float) -> None:
    assert value == pytest.approx(expected, rel=1e-9, abs=1e-12, nan_ok=True)


def test_every_metric_has_its_own_name_and_the_primary_is_among_them():
    for recipe in (simulated, pneumoniamnist, chase, mae_pretrain_vit_s, vit_s_cxr14):
        chosen = metrics(recipe())
        names = [metric.name for metric in chosen.metrics]
        assert len(set(names)) == len(names)
        assert chosen.primary in names
        assert all(metric.summary for metric in chosen.metrics)


@pytest.mark.parametrize(
    ("recipe", "primary"),
    [(simulated, "log_loss"), (pneumoniamnist, "log_loss"), (chase, "dice"), (mae_pretrain_vit_s, "masked_error")],
)
def test_checkpoints_are_chosen_by_what_few_images_tell(recipe, primary: str):
    assert metrics(recipe()).primary == primary


def test_the_order_of_items_does_not_matter(case: Case):
    config, records = case
    count = records.sizes["item"]
    order = np.random.default_rng(0).permutation(count)
    weight = np.random.default_rng(1).integers(0, 4, count).astype(np.float64)
    for metric in metrics(config).metrics:
        _same(metric.value(records.isel(item=order), weight[order]), metric.value(records, weight))


def test_scaling_all_weights_changes_nothing(case: Case):
    config, records = case
    for metric in metrics(config).metrics:
        _same(metric.value(records, 7 * _ones(records)), metric.value(records, _ones(records)))


@settings(max_examples=10)
@given(st.integers(0, 10_000))
def test_a_weight_counts_an_item_as_often_as_it_says(seed: int):
    rng = np.random.default_rng(seed)
    target = (rng.random((20, 2)) < 0.3).astype(np.float32)
    target[rng.random((20, 2)) < 0.2] = np.nan
    records = xr.Dataset(
        {
            "probability": (("item", "label"), rng.random((20, 2)).round(1).astype(np.float32)),
            "target": (("item", "label"), target),
            "sex": ("item", rng.choice(["F", "M"], 20)),
        },
        {"item": np.arange(20).astype(np.str_), "label": ["a", "b"]},
    )
    config = simulated()
    config = config.model_copy(update={"data": config.data.model_copy(update={"names": ("a", "b")})})
    weight = rng.integers(0, 4, 20)
    repeated = records.isel(item=np.repeat(np.arange(20), weight))
    for metric in metrics(config).metrics:
        _same(metric.value(records, weight.astype(np.float64)), metric.value(repeated, _ones(repeated)))


def test_a_weight_counts_an_item_as_often_as_it_says_in_every_task(case: Case):
    config, records = case
    count = records.sizes["item"]
    weight = np.random.default_rng(2).integers(0, 4, count)
    repeated = records.isel(item=np.repeat(np.arange(count), weight))
    for metric in metrics(config).metrics:
        _same(metric.value(records, weight.astype(np.float64)), metric.value(repeated, _ones(repeated)))


def test_no_items_give_nan(case: Case):
    config, records = case
    for metric in metrics(config).metrics:
        assert math.isnan(metric.value(records.isel(item=slice(0, 0)), np.zeros(0))), metric.name


def test_the_prepared_form_equals_the_plain_one_and_can_be_sent_to_a_worker(case: Case):
    config, records = case
    for metric in metrics(config).metrics:
        prepared = pickle.loads(pickle.dumps(metric)).of(records)
        for seed in range(3):
            weight = np.random.default_rng(seed).integers(0, 3, records.sizes["item"]).astype(np.float64)
            _same(prepared(weight), metric.value(records, weight))


def test_all_metrics_have_intervals_around_their_values(case: Case):
    config, records = case
    groups = np.arange(records.sizes["item"]) // 3
    for name, estimate in bootstrap(metrics(config), records, groups, 30, 0.95, 0).items():
        assert estimate.low <= estimate.high, name
        assert math.isfinite(estimate.value), name
