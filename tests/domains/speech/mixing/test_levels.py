"""Loudness, active level, and the gains of the two rules."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from armillary.domains.speech.mixing.levels import (
    active_level_db,
    decibel_offsets,
    full_scale_factor,
    level_gain,
    loudness_lufs,
    sum_factor,
)

BOTH = pytest.mark.parametrize("level", [loudness_lufs, active_level_db])


def noise(seconds: float = 2.0, seed: int = 0, rate_hz: int = 8000) -> np.ndarray:
    return (0.05 * np.random.default_rng(seed).standard_normal(round(seconds * rate_hz))).astype(np.float32)


@BOTH
def test_silence_and_an_empty_clip_have_no_level(level):
    assert level(np.zeros(8000, np.float32), 8000) == -math.inf
    assert level(np.zeros(100, np.float32), 8000) == -math.inf
    assert level(np.zeros(0, np.float32), 8000) == -math.inf


@BOTH
@given(st.floats(-20, 20))
@settings(max_examples=10)
def test_a_gain_moves_the_level_by_itself(level, gain_db):
    signal = noise()
    louder = signal * np.float32(10 ** (gain_db / 20))
    assert level(louder, 8000) - level(signal, 8000) == pytest.approx(gain_db, abs=0.01)


@BOTH
def test_a_long_pause_hardly_changes_the_level(level):
    signal = noise(4)
    with_pause = np.concatenate((signal, np.zeros(len(signal), np.float32), signal))
    assert level(with_pause, 8000) == pytest.approx(level(signal, 8000), abs=0.35)


@BOTH
@pytest.mark.parametrize("samples", [1, 2, 80, 3199, 3200, 3201])
def test_clips_around_and_below_a_gating_block_have_a_finite_level(level, samples):
    assert math.isfinite(level(10 * noise()[:samples], 8000))


def test_a_clip_below_a_gating_block_is_as_loud_as_itself_repeated():
    clip = noise()[:1000]
    assert loudness_lufs(clip, 8000) == loudness_lufs(np.resize(clip, 3200), 8000)


def test_a_full_scale_sine_of_997_hz_has_minus_3_lufs():
    # BS.1770: such a sine in one channel reads -3.01.
    sine = np.sin(2 * np.pi * 997 * np.arange(48_000 * 2) / 48_000).astype(np.float32)
    assert loudness_lufs(sine, 48_000) == pytest.approx(-3.01, abs=0.1)


def test_the_active_level_of_steady_noise_is_its_mean_power():
    signal = noise(10)
    power_db = 10 * math.log10(float(np.mean(np.square(signal))))
    assert active_level_db(signal, 8000) == pytest.approx(power_db, abs=0.3)


def test_the_active_level_leaves_out_pauses_that_the_mean_power_counts():
    signal = noise(3)
    halved = np.concatenate((signal, np.zeros(9 * len(signal), np.float32)))
    power_db = 10 * math.log10(float(np.mean(np.square(halved))))
    assert active_level_db(halved, 8000) - power_db == pytest.approx(10, abs=0.7)


def test_the_active_level_of_one_sample_is_its_power():
    assert active_level_db(np.array([0.1], np.float32), 8000) == pytest.approx(-20, abs=0.01)


@given(st.floats(-60, 0), st.floats(-40, -10))
def test_a_gain_reaches_the_wanted_level(level_db, wanted_db):
    assert level_db + 20 * math.log10(level_gain(level_db, wanted_db)) == pytest.approx(wanted_db)


def test_a_recording_that_would_reach_full_scale_gets_peak_nine_tenths():
    assert level_gain(-30.0, -20.0, peak=0.5) == pytest.approx(0.9 / 0.5)
    assert level_gain(-30.0, -20.0, peak=0.1) == pytest.approx(10**0.5)


def test_a_silent_recording_keeps_its_gain():
    assert level_gain(-math.inf, -20.0) == 1.0


def test_only_a_sum_above_nine_tenths_is_scaled():
    assert sum_factor(0.9) == sum_factor(0.1) == sum_factor(0.0) == 1
    assert sum_factor(1.8) == pytest.approx(0.5)


@given(st.lists(st.floats(0.01, 0.99), min_size=2, max_size=5), st.floats(0, 10))
def test_voices_differ_by_at_most_the_range_and_the_first_is_the_loudest(uniform, range_db):
    offsets = decibel_offsets(np.array(uniform), range_db)
    assert len(offsets) == len(uniform)
    assert offsets[0] == offsets.max()
    assert offsets[-1] == offsets.min()
    assert np.ptp(offsets) == pytest.approx(range_db * uniform[0])


def test_two_voices_lie_evenly_about_0_db_as_in_the_lists_of_wsj0_2mix():
    assert decibel_offsets(np.array([0.5, 0.3]), 5.0).tolist() == [1.25, -1.25]
    assert decibel_offsets(np.array([0.7]), 5.0).tolist() == [0.0]


def test_the_loudest_sample_of_any_part_becomes_nine_tenths():
    sources = np.array([[0.1, -0.4], [0.2, 0.3]], np.float32)
    assert full_scale_factor(sources.sum(0), sources) * 0.4 == pytest.approx(0.9)
    assert full_scale_factor(np.zeros(2, np.float32), np.zeros((2, 2), np.float32)) == 1


@pytest.mark.real
def test_gains_of_the_mini_lists_give_loudness_between_minus_33_and_minus_25(data_root: Path):
    speech = data_root / "speech"
    with (speech / "libri2mix_mini" / "metadata" / "libri2mix_test.csv").open() as stream:
        rows = list(csv.DictReader(stream))[:12]
    levels = []
    for row in rows:
        signal, rate_hz = soundfile.read(
            speech / "librispeech_mini" / "LibriSpeech" / row["source_1_path"], dtype="float32"
        )
        levels.append(loudness_lufs(signal * np.float32(row["source_1_gain"]), rate_hz))
    assert min(levels) > -33.1
    assert max(levels) < -24.9
