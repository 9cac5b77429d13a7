"""The metrics of a run, on records written by hand."""

import warnings
from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

from armillary.core.bootstrap import bootstrap
from armillary.domains.speech.metrics import metrics, quick
from armillary.domains.speech.settings import SpeechRun

Make = Callable[..., SpeechRun]


@pytest.fixture
def records() -> xr.Dataset:
    """Three mixtures: the first of two women, the others of a woman and a man; one voice is silent."""
    both = ("item", "source")
    return xr.Dataset(
        {
            "si_sdr": (both, np.array([[6.0, 2.0], [10.0, 0.0], [4.0, np.nan]], np.float32)),
            "si_sdr_mixture": (both, np.array([[1.0, -1.0], [6.0, -6.0], [5.0, np.nan]], np.float32)),
            "stoi": (both, np.array([[0.9, 0.8], [0.9, 0.7], [0.5, np.nan]], np.float32)),
            "stoi_mixture": (both, np.array([[0.8, 0.6], [0.8, 0.6], [0.6, np.nan]], np.float32)),
            "level_db": (both, np.array([[-2.0, -4.0], [-1.0, -7.0], [0.0, -120.0]], np.float32)),
            "sex": (both, np.array([["F", "F"], ["M", "F"], ["F", "M"]])),
            "group": ("item", np.array(["a", "b", "b"])),
        },
        {"item": ["x", "y", "z"]},
    )


def values(run: SpeechRun, records: xr.Dataset, weight: np.ndarray | None = None) -> dict[str, float]:
    """Every metric by its name."""
    weight = np.ones(records.sizes["item"]) if weight is None else weight
    return {metric.name: metric.value(records, weight) for metric in metrics(run).metrics}


def test_values_are_those_worked_by_hand(speech_run: Make, records: xr.Dataset) -> None:
    found = values(speech_run(scores=("si_sdr", "stoi")), records)
    # Improvements: 5, 3; 4, 6; -1 and a silent voice.
    assert found == pytest.approx(
        {
            "si_sdri": 3.4, "si_sdri_median": 4.0, "got_worse": 0.2, "si_sdr": 4.4, "stoi": 0.76, "stoi_gain": 0.08,
            "si_sdri_below_-5dB": 6.0, "si_sdri_-5_to_0dB": 3.0, "si_sdri_0_to_5dB": 5.0, "si_sdri_from_5dB": 1.5,
            "si_sdri_FF": 4.0, "si_sdri_FM": 3.0, "si_sdri_MM": np.nan,
        },
        nan_ok=True,
    )  # fmt: skip


def test_the_order_of_items_and_voices_changes_nothing(speech_run: Make, records: xr.Dataset) -> None:
    run = speech_run(scores=("si_sdr", "stoi"))
    turned = records.isel(item=[2, 0, 1], source=[1, 0])
    assert values(run, turned) == pytest.approx(values(run, records), nan_ok=True)


def test_weights_count_items(speech_run: Make, records: xr.Dataset) -> None:
    run = speech_run()
    assert values(run, records, np.array([0.0, 2.0, 0.0])) == pytest.approx(
        values(run, records.isel(item=[1])), nan_ok=True
    )


def test_only_scores_that_are_asked_for_have_metrics(speech_run: Make) -> None:
    asked = {metric.name for metric in metrics(speech_run(scores=("si_sdr", "sdr", "stoi", "pesq"))).metrics}
    assert {"sdr", "sdri", "stoi", "stoi_gain", "pesq", "pesq_gain"} <= asked
    plain = {metric.name for metric in metrics(speech_run()).metrics}
    assert not plain & {"sdr", "sdri", "stoi", "stoi_gain", "pesq", "pesq_gain"}


def test_improvement_of_si_sdr_chooses_checkpoints(speech_run: Make) -> None:
    found = metrics(speech_run())
    assert found.primary == "si_sdri"
    assert (found["si_sdri"].direction, found["si_sdri"].unit) == ("max", "dB")
    assert found["got_worse"].direction == "min"


@pytest.mark.parametrize("num_voices", [1, 3])
def test_one_voice_in_noise_and_three_voices_have_parts_of_their_own(speech_run: Make, num_voices: int) -> None:
    run = speech_run(num_voices, noise=True)
    shape = (4, num_voices)
    rng = np.random.default_rng(0)
    both = ("item", "source")
    found = values(
        run,
        xr.Dataset(
            {
                **{name: (both, rng.normal(size=shape)) for name in ("si_sdr", "si_sdr_mixture", "level_db")},
                "sex": (both, np.full(shape, "F")),
            }
        ),
    )
    assert np.isfinite(found["si_sdri"])
    assert found["si_sdri_F" if num_voices == 1 else "si_sdri_one_sex"] == pytest.approx(found["si_sdri"])
    assert np.isnan(found["si_sdri_M" if num_voices == 1 else "si_sdri_both_sexes"])


def test_intervals_come_from_whole_groups_and_empty_parts_have_none(speech_run: Make, records: xr.Dataset) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = bootstrap(metrics(speech_run()), records, records["group"].values, 200, 0.95, 0)
    # Resamples hold group a (4), group b (3) or both.
    assert (found["si_sdri"].low, found["si_sdri"].high) == pytest.approx((3.0, 4.0))
    assert np.isnan(found["si_sdri_MM"].low)
    assert found["si_sdri_MM"].undefined == 200


def test_records_without_scores_have_no_values(speech_run: Make, records: xr.Dataset) -> None:
    found = values(speech_run(), records[["group", "sex", "level_db"]])
    assert all(np.isnan(value) for value in found.values())


def test_the_quick_run_is_judged_by_si_sdr_alone_and_differs_in_nothing_else(speech_run: Make) -> None:
    run = speech_run(scores=("si_sdr", "sdr", "stoi", "pesq"))
    found = quick(run)
    assert found.predict.scores == ("si_sdr",)
    assert found.model_copy(update={"predict": run.predict}) == run
    assert found.predict.model_copy(update={"scores": run.predict.scores}) == run.predict
    assert metrics(found).primary == metrics(run).primary
