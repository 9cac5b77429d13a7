"""Bursts are found, noise is not named, and the chance of a false alarm is the one asked for."""

from functools import cache
from typing import Any, Literal

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from scipy.stats import binom

from armillary.core.errors import ConfigError
from armillary.core.random import item_seeds
from armillary.domains.modulation.assemble import assemble
from armillary.domains.modulation.detection import (
    cyclic_statistic,
    cyclic_threshold,
    detect,
    energy_threshold,
    estimate_noise,
    window_energy,
)
from armillary.domains.modulation.frames import Frames
from armillary.domains.modulation.items import FrameItems
from armillary.domains.modulation.readers.dataset import load_card
from armillary.domains.modulation.recipes import clst_rml2016a
from armillary.domains.modulation.settings import ModulationPredict
from armillary.domains.modulation.simulation.rml2016 import RML2016A
from armillary.domains.modulation.write import verdicts

WINDOWS = {128: 20_000, 1024: 4_000}
few = examples(max_examples=20)
Detect = Literal["none", "energy", "cyclic", "both"]


def noise(count: int, length: int, seed: int = 0, power: float = 1.0) -> np.ndarray:
    """White complex Gaussian noise of mean |z|^2 `power`."""
    drawn = np.random.default_rng(seed).standard_normal((count, 2, length), np.float32)
    return drawn * np.float32(np.sqrt(power / 2))


@cache
def bursts(count: int, snr_db: float) -> np.ndarray:
    """Generated frames of all classes that send something, over noise of unit power."""
    place = np.array([n for n in range(11) if n != 2], np.int64)[np.arange(count) % 10]
    frames = RML2016A("calibrated")(
        place, np.full(count, snr_db, np.float32), item_seeds(np.arange(count, dtype=np.int64), "detection")
    )
    power = np.square(frames).sum(1).mean(1)
    return frames * np.sqrt((1 + 10 ** (snr_db / 10)) / power).astype(np.float32)[:, None, None]


def settings(kind: Detect, chance: float, noise_power: float | None = None) -> ModulationPredict:
    return ModulationPredict(detect=kind, false_alarm=chance, noise_power=noise_power)


@pytest.mark.parametrize("chance", [0.05, 0.01])
@pytest.mark.parametrize("length", WINDOWS)
def test_energy_alarms_falsely_with_the_chance_asked_for(length: int, chance: float):
    iq = noise(WINDOWS[length], length, seed=1, power=3.0)
    alarms = detect(iq, settings("energy", chance, 3.0)).detected.sum()
    low, high = binom.interval(0.999, len(iq), chance)
    assert low <= alarms <= high


@pytest.mark.parametrize("chance", [0.05, 0.01])
@pytest.mark.parametrize("length", WINDOWS)
def test_structure_alarms_falsely_with_the_chance_asked_for(length: int, chance: float):
    iq = noise(WINDOWS[length], length, seed=2)
    alarms = detect(iq, settings("cyclic", chance)).detected.sum()
    # The threshold itself was drawn: its quantile is uncertain by about a tenth of the chance.
    low, high = binom.interval(0.999, len(iq), chance)
    assert 0.9 * low <= alarms <= 1.1 * high


def test_with_the_noise_estimated_the_chance_is_nearly_kept_and_either_detector_shares_it():
    iq = noise(20_000, 128, seed=3)
    for kind in ("energy", "both"):
        assert 0.04 < detect(iq, settings(kind, 0.05)).detected.mean() < 0.06
    either = detect(iq, settings("both", 0.05)).detected
    halves = [detect(iq, settings(kind, 0.025)).detected for kind in ("energy", "cyclic")]
    assert np.array_equal(either, halves[0] | halves[1])


def test_the_energy_threshold_of_one_sample_is_that_of_the_exponential_law():
    assert energy_threshold(1, 0.01) == pytest.approx(-np.log(0.01))


@few
@given(st.integers(-40, 40), st.floats(-np.pi, np.pi))
def test_neither_scale_nor_phase_changes_the_cyclic_statistic(exponent: int, phase: float):
    iq = np.concatenate([noise(20, 128), bursts(20, 0)])
    assert np.array_equal(cyclic_statistic(iq * np.float32(2.0**exponent)), cyclic_statistic(iq))
    wave = (iq[:, 0] + 1j * iq[:, 1]) * np.exp(1j * phase)
    turned = np.stack([wave.real, wave.imag], 1).astype(np.float32)
    np.testing.assert_allclose(cyclic_statistic(turned), cyclic_statistic(iq), rtol=1e-4, atol=1e-4)


@few
@given(st.integers(-40, 40))
def test_scale_does_not_change_what_energy_finds_over_estimated_noise(exponent: int):
    iq = np.concatenate([noise(60, 128), bursts(40, 3)])
    plain, scaled = (detect(frames, settings("energy", 1e-3)) for frames in (iq, iq * np.float32(2.0**exponent)))
    assert np.array_equal(scaled.detected, plain.detected)
    np.testing.assert_allclose(scaled.energy_db, plain.energy_db, atol=1e-9)


@pytest.mark.parametrize("kind", ["energy", "cyclic", "both"])
def test_generated_frames_at_ten_decibel_stand_out_of_noise(kind: Detect):
    iq = np.concatenate([noise(400, 128), bursts(600, 10)])
    found = detect(iq, settings(kind, 1e-3))
    assert found.detected[400:].mean() > 0.99
    assert found.detected[:400].mean() < 0.01
    # One part of noise and ten of signal.
    assert np.median(found.energy_db[400:]) == pytest.approx(10 * np.log10(11), abs=0.5)


def test_structure_finds_a_chunk_that_is_all_burst_and_energy_needs_to_be_told_the_noise():
    iq = bursts(300, 10)
    assert detect(iq, settings("cyclic", 1e-3)).detected.mean() > 0.99
    assert detect(iq, settings("energy", 1e-3)).detected.mean() < 0.1
    assert detect(iq, settings("energy", 1e-3, 1.0)).detected.all()
    assert detect(iq, settings("energy", 1e-3), noise_power=1.0).detected.all()


@pytest.mark.parametrize("length", [16, 128, 1024])
def test_the_noise_estimate_is_unbiased_on_noise(length: int):
    estimates = [estimate_noise(noise(50, length, seed, power=0.7)) for seed in range(100)]
    # An estimate varies by about a quarter of 1 / sqrt(length), the mean of a hundred by a tenth of that.
    assert np.mean(estimates) == pytest.approx(0.7, rel=0.15 / np.sqrt(length))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_noise_estimate_of_few_windows_is_right_in_the_middle(count: int):
    estimates = np.array([estimate_noise(noise(count, 128, seed)) for seed in range(300)])
    assert np.mean(estimates > 1) == pytest.approx(0.5, abs=0.1)


def test_the_noise_estimate_is_within_one_decibel_when_sixty_in_a_hundred_windows_hold_bursts():
    for snr_db in (0.0, 10.0):
        iq = np.concatenate([noise(400, 128, power=1.0), bursts(600, snr_db)])
        assert abs(10 * np.log10(estimate_noise(iq))) < 1


def test_zeros_are_no_burst_and_no_measure_of_noise():
    zeros = np.zeros((5, 2, 128), np.float32)
    assert estimate_noise(zeros) == 0
    for kind in ("energy", "cyclic", "both"):
        assert not detect(zeros, settings(kind, 0.05)).detected.any()
    assert estimate_noise(np.concatenate([zeros, noise(50, 128)])) == estimate_noise(noise(50, 128))


def test_no_windows_give_no_answers_and_without_a_detector_all_are_bursts():
    assert detect(np.zeros((0, 2, 128), np.float32), settings("both", 0.01)).detected.shape == (0,)
    assert detect(noise(4, 128), settings("none", 0.01)).detected.all()


def test_a_window_is_judged_alike_alone_and_among_others_that_do_not_fit_into_memory():
    iq = np.concatenate([noise(20_000, 64), bursts(10, 5)[:, :, :64]])
    np.testing.assert_allclose(cyclic_statistic(iq)[-10:], cyclic_statistic(iq[-10:]), rtol=1e-12)
    assert window_energy(iq)[0] == pytest.approx(np.square(iq[0].astype(np.float64)).sum())


def test_windows_too_short_for_structure_are_refused_with_advice():
    with pytest.raises(ConfigError, match=r"predict\.window=8.*at least 16.*predict\.detect=energy"):
        detect(noise(4, 8), settings("cyclic", 0.01))


def test_a_rarer_alarm_needs_a_higher_threshold():
    chances = [0.5, 0.1, 0.05, 0.049, 0.01, 1e-3, 1e-6]
    thresholds = [cyclic_threshold(128, chance) for chance in chances]
    assert thresholds == sorted(thresholds)
    assert thresholds[3] - thresholds[2] < 0.1


def records(kind: Detect, capture: bool, lead: int = 0) -> xr.Dataset:
    """Of a recording whose second half is a burst."""
    iq = np.concatenate([noise(40, 128), bursts(40, 10)])
    names, nothing = np.full(80, "a.cf32"), np.full(80, "")
    frames = Frames(
        iq, nothing, np.full(80, np.nan, np.float32), np.arange(80).astype(np.str_), names,
        np.arange(80, dtype=np.int64) * 128, 200e3, lead=lead,
    )  # fmt: skip
    config = clst_rml2016a()
    config = config.model_copy(update={"predict": settings(kind, 1e-3)})
    items = FrameItems(config, frames, np.full(80, -1, np.int64), np.arange(80, dtype=np.int64), capture=capture)
    probability = np.full((80, 11), 1 / 11, np.float32)
    return assemble(config, items, [{"probability": probability, "index": np.arange(80)}])


@pytest.mark.parametrize("kind", ["energy", "cyclic", "both"])
def test_windows_of_a_recording_without_a_burst_get_no_name(kind: Detect):
    found = records(kind, capture=True)
    assert found["detected"].dtype == np.bool_
    assert found["detected"].values[40:].all()
    assert found["detected"].values[:40].sum() <= 1
    assert (verdicts(found) == "").sum() >= 39
    context = records(kind, capture=True, lead=10)
    assert np.array_equal(context["detected"].values, found["detected"].values[10:])


def test_nothing_is_detected_where_none_was_asked_for_or_frames_are_of_a_set():
    assert "detected" not in records("none", capture=True)
    assert "detected" not in records("both", capture=False)


@pytest.mark.real
def test_strong_frames_of_the_regenerated_set_stand_out_and_its_noise_class_does_not(data_root: Any):
    frames = load_card(data_root / "modulation" / "rml2016a_regen", lambda problem: None)
    empty = np.flatnonzero(frames.label == "AM-SSB").astype(np.int64)
    strong = np.flatnonzero((frames.label != "AM-SSB") & (frames.snr_db >= 4)).astype(np.int64)
    chance = 0.01
    # Each frame was scaled by itself, so that energy has nothing to say.
    noise_alarms = detect(np.asarray(frames.iq[empty]), settings("cyclic", chance)).detected
    assert noise_alarms.sum() <= binom.isf(1e-3, len(empty), 1.1 * chance)
    found = detect(np.asarray(frames.iq[strong]), settings("cyclic", chance)).detected
    for name in np.unique(frames.label[strong]):
        assert found[frames.label[strong] == name].mean() > 0.95, name
