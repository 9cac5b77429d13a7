"""Accuracy by SNR, kappa and rejection: by hand, by independent implementations, and what must hold."""

import numpy as np
import pytest
import sklearn.metrics as sk
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from armillary.core.classification.confusion import confusion, kappa, kappa_of
from armillary.core.classification.scored import scored
from armillary.domains.modulation.metrics import metrics
from armillary.domains.modulation.metrics.by_snr import accuracy_at, mean_accuracy, peak_accuracy
from armillary.domains.modulation.metrics.rejection import rejection
from armillary.domains.modulation.recipes import clst_rml2016a


def records(truth: list[int], predicted: list[int], snr: list[float], **more: list[float]) -> xr.Dataset:
    """Records of certain answers among three classes."""
    probability = np.full((len(truth), 3), 0.1, np.float32)
    probability[np.arange(len(truth)), predicted] = 0.8
    variables = {
        "probability": (("item", "class"), probability),
        "truth": ("item", np.array(truth, np.int64)),
        "snr_db": ("item", np.array(snr, np.float32)),
        **{name: ("item", np.array(values, np.float32)) for name, values in more.items()},
    }
    return xr.Dataset(variables, {"item": [f"f{i}" for i in range(len(truth))], "class": ["a", "b", "c"]})


def test_mean_accuracy_weighs_every_snr_label_alike():
    # One of four right at 0 dB, the only one right at 10 dB.
    made = records([0, 0, 1, 1, 2], [0, 1, 2, 0, 2], [0, 0, 0, 0, 10])
    every = np.ones(5)
    assert mean_accuracy(made)(every) == pytest.approx((0.25 + 1) / 2)
    assert peak_accuracy(made)(every) == 1
    assert accuracy_at(made, 0.0)(every) == 0.25
    assert np.isnan(accuracy_at(made, 4.0)(every))


def test_frames_of_unknown_snr_count_as_one_label():
    made = records([0, 0, 0], [0, 1, 1], [0, np.nan, np.nan])
    assert mean_accuracy(made)(np.ones(3)) == pytest.approx((1 + 0) / 2)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=2, max_size=40))
def test_kappa_is_that_of_scikit_learn(pairs: list[tuple[int, int]]):
    truth, predicted = (list(column) for column in zip(*pairs, strict=True))
    ours = kappa(records(truth, predicted, [0.0] * len(truth)))(np.ones(len(truth)))
    with np.errstate(all="ignore"):
        theirs = np.nan if len({*truth, *predicted}) == 1 else sk.cohen_kappa_score(truth, predicted)
    assert ours == pytest.approx(theirs, nan_ok=True)


def test_kappa_of_two_halves_merged_is_that_of_the_whole():
    whole = records([0, 1, 2, 0], [0, 1, 1, 2], [0.0] * 4)
    halves = [confusion(scored(whole.isel(item=part)), np.ones(2)) for part in (slice(0, 2), slice(2, 4))]
    assert kappa_of(halves[0].merge(halves[1])) == pytest.approx(kappa(whole)(np.ones(4)))


def test_rejection_counts_known_and_unknown_frames_apart():
    made = records([0, 1, -1, -1], [0, 2, 1, 1], [0.0] * 4, typicality=[0.9, 0.01, 0.02, 0.5])
    every = np.ones(4)
    assert rejection(made, 0.05, "known_kept")(every) == 0.5
    assert rejection(made, 0.05, "accuracy_kept")(every) == 1
    assert rejection(made, 0.05, "unknown_rejected")(every) == 0.5


@pytest.mark.parametrize("reject", [None, 0.05])
def test_every_metric_of_a_run_is_perfect_for_a_perfect_answer_and_ignores_order(reject: float | None):
    config = clst_rml2016a()
    config = config.model_copy(update={"predict": config.predict.model_copy(update={"reject": reject})})
    rng = np.random.default_rng(0)
    truth, snr = np.repeat(np.arange(11), 20), np.tile(np.arange(-20, 20, 2), 11)
    certain = xr.Dataset(
        {
            "probability": (("item", "class"), np.eye(11, dtype=np.float32)[truth]),
            "truth": ("item", truth.astype(np.int64)),
            "snr_db": ("item", snr.astype(np.float32)),
            "typicality": ("item", np.ones(220, np.float32)),
        },
        {"item": np.arange(220).astype(np.str_), "class": list(config.data.classes)},
    )
    shuffled = certain.isel(item=rng.permutation(220))
    for metric in metrics(config).metrics:
        value = metric.value(certain, np.ones(220))
        assert metric.value(shuffled, np.ones(220)) == pytest.approx(value, nan_ok=True)
        if not np.isnan(value):
            assert value == pytest.approx(1 if metric.direction == "max" else 0, abs=1e-9)
    assert metrics(config).primary == "log_loss"


def test_records_of_an_absent_snr_have_no_accuracy_there():
    config = clst_rml2016a()
    made = records([0], [0], [0.0])
    assert np.isnan(metrics(config)["accuracy_18dB"].value(made, np.ones(1)))
