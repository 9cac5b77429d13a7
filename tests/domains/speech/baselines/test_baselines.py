"""Baselines give records of the model's schema; what they find is what their formulas say."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from armillary.domains.speech.baselines import baselines
from armillary.domains.speech.baselines.blended import BlendedBaseline, blend
from armillary.domains.speech.baselines.factorise import Factorise
from armillary.domains.speech.baselines.oracle import masks
from armillary.domains.speech.baselines.wiener import Wiener, gains
from armillary.domains.speech.data import datasets, uses
from armillary.domains.speech.metrics import metrics
from armillary.domains.speech.settings import SpeechData, SpeechRun

Run = Callable[..., SpeechRun]
Items = Callable[..., object]


def improvement(run: SpeechRun, records: xr.Dataset) -> float:
    """Mean improvement of SI-SDR [dB]."""
    return metrics(run)["si_sdri"].value(records, np.ones(records.sizes["item"]))


@pytest.mark.parametrize("num_voices", [1, 2, 3])
def test_every_baseline_gives_records_that_the_metrics_read(
    known_mixtures: Items, speech_run: Run, num_voices: int
) -> None:
    run, items = speech_run(num_voices, noise=True), known_mixtures(3, num_voices, 0.01)
    found = baselines(run)
    assert ("wiener" in found) == (num_voices == 1)
    for name, baseline in found.items():
        baseline.fit(items, items)
        records = baseline.predict(items)
        assert records["item"].values.tolist() == ["m0", "m1", "m2"]
        assert set(records.data_vars) == {
            "si_sdr", "si_sdr_mixture", "level_db", "group", "seconds", "speaker", "sex",
        }, name  # fmt: skip
        assert np.isfinite(improvement(run, records)), name


def test_the_mixture_gains_exactly_nothing(known_mixtures: Items, speech_run: Run) -> None:
    run, items = speech_run(scores=("si_sdr", "sdr", "stoi")), known_mixtures(2, 2)
    baseline = baselines(run)["mixture"]
    baseline.fit(items, items)
    found = {m.name: m.value(baseline.predict(items), np.ones(2)) for m in metrics(run).metrics}
    assert [found[name] for name in ("si_sdri", "si_sdri_median", "sdri", "stoi_gain", "got_worse")] == [0.0] * 5


def test_oracles_separate_hums_of_different_pitch(known_mixtures: Items, speech_run: Run) -> None:
    run, items = speech_run(), known_mixtures(3, 2)
    found = baselines(run)
    for name in ("oracle_ratio_mask", "oracle_binary_mask"):
        assert improvement(run, found[name].predict(items)) > 12, name


def test_ratio_masks_and_what_else_is_heard_add_up_to_one() -> None:
    rng = np.random.default_rng(0)
    parts = (rng.standard_normal((3, 5, 4)) + 1j * rng.standard_normal((3, 5, 4))).astype(np.complex64)
    sources, noise = parts[:2], parts[2]
    found = masks(sources, sources.sum(0) + noise, "ratio")
    size = np.abs(parts)
    np.testing.assert_allclose(found, size[:2] / size.sum(0), rtol=1e-4)
    binary = masks(sources, sources.sum(0) + noise, "binary")
    np.testing.assert_array_equal(binary, size[:2] == size.max(0))
    assert (masks(np.zeros_like(sources), np.zeros_like(noise), "ratio") == 0).all()


def test_factorisation_depends_on_seed_and_place_alone(known_mixtures: Items, speech_run: Run) -> None:
    items = known_mixtures(2, 2)
    one, other = (Factorise(speech_run())(items[(0, 1)]) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert one.shape == items.sources[1].shape
    np.testing.assert_allclose(one.sum(0), items.mixtures[1], rtol=0, atol=1e-4)


@pytest.mark.parametrize("mixture", [np.zeros(4000, np.float32), np.ones(1, np.float32), np.ones(300, np.float32)])
def test_silent_and_short_mixtures_are_shared_out(speech_run: Run, mixture: np.ndarray) -> None:
    found = Factorise(speech_run())({"mixture": mixture, "index": 0})
    np.testing.assert_array_equal(found, np.stack([mixture, mixture]) / 2)


def test_the_filter_finds_a_hum_in_steady_noise(known_mixtures: Items, speech_run: Run) -> None:
    run, items = speech_run(1), known_mixtures(3, 1, 0.05)
    baseline = BlendedBaseline(run, Wiener(run))
    baseline.fit(items, items)
    assert improvement(run, baseline.predict(items)) > 3


def test_gains_are_small_in_noise_and_near_one_in_speech() -> None:
    power = np.random.default_rng(0).exponential(size=(65, 200))
    power[:20, 80:120] += 1000
    found = gains(power)
    assert ((found > 0) & (found < 1)).all()
    assert found[:20, 100:118].mean() > 0.99
    assert found[30:, 20:].mean() < 0.2
    np.testing.assert_array_equal(gains(np.zeros((3, 4))) < 1, True)


def test_a_method_that_does_harm_is_given_no_share(known_mixtures: Items, speech_run: Run) -> None:
    run, items = speech_run(), known_mixtures(3, 2)
    rng = np.random.default_rng(0)
    noise = BlendedBaseline(run, lambda item: rng.standard_normal(item["sources"].shape).astype(np.float32))
    noise.fit(items, items)
    assert noise.share == 0.0
    perfect = BlendedBaseline(run, lambda item: item["sources"][::-1].copy())
    perfect.fit(items, items)
    assert perfect.share == 1.0


def test_a_blend_is_between_what_was_found_and_equal_shares() -> None:
    found, mixture = np.array([[1.0, 0.0], [0.0, 2.0]], np.float32), np.array([1.0, 2.0], np.float32)
    np.testing.assert_array_equal(blend(found, mixture, 1.0), found)
    np.testing.assert_array_equal(blend(found, mixture, 0.0), [[0.5, 1.0], [0.5, 1.0]])
    np.testing.assert_allclose(blend(found, mixture, 0.25).sum(0), mixture)


def test_a_baseline_that_was_not_fitted_says_so(known_mixtures: Items, speech_run: Run) -> None:
    with pytest.raises(ValueError, match="call fit"):
        baselines(speech_run())["factorisation"].predict(known_mixtures(1, 2))
    with pytest.raises(ValueError, match="got none"):
        baselines(speech_run())["factorisation"].fit(known_mixtures(1, 2), known_mixtures(0, 2))


@pytest.mark.real
@pytest.mark.parametrize(
    ("noise", "name", "expected", "before"),
    [
        (False, "oracle_ratio_mask", 13.6, 0.01),
        (False, "oracle_binary_mask", 14.4, 0.01),
        (True, "oracle_ratio_mask", 12.8, -0.50),
    ],
)
def test_oracles_reach_what_the_test_list_tells(
    speech_run: Run, data_root: Path, noise: bool, name: str, expected: float, before: float
) -> None:
    run = speech_run().model_copy(update={"data": SpeechData(card="libri2mix_mini", noise=noise)})
    items = datasets(run, {card: data_root / "speech" / card for card in uses(run)}, "test")
    records = baselines(run)[name].predict(items)
    assert len(items) == 102
    assert improvement(run, records) == pytest.approx(expected, abs=0.05)
    assert float(records["si_sdr_mixture"].mean()) == pytest.approx(before, abs=0.05)
