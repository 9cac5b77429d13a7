"""Bursts of receiver audio, found in either kind of receiver without being told which."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary.core.random import item_seeds
from armillary.domains.modulation.classes import SATELLITE
from armillary.domains.modulation.readers.audio_gate import burst_windows, two_class_threshold
from armillary.domains.modulation.simulation.receiver_audio import receiver_audio

WINDOW = 1024


def recordings(label: str, count: int) -> np.ndarray:
    """Three windows of noise, four of a burst, three of noise; (count, 10, 1024)."""
    place = np.full(count, SATELLITE.index(label), np.int64)
    seeds = item_seeds(np.arange(count, dtype=np.int64), "gate")
    snr = np.full(count, 28, np.float32)
    audio, _ = receiver_audio(place, snr, seeds, 10 * WINDOW, (3 * WINDOW, 7 * WINDOW))
    return audio.reshape(count, 10, WINDOW)


TRUTH = np.array([0, 0, 0, 1, 1, 1, 1, 0, 0, 0], np.bool_)


@pytest.mark.parametrize("label", SATELLITE)
def test_most_windows_of_a_strong_burst_are_found_and_few_of_noise(label: str) -> None:
    found = np.stack([burst_windows(audio) for audio in recordings(label, 20)])
    assert found[:, TRUTH].mean() > 0.95
    assert found[:, ~TRUTH].mean() < 0.06


@given(st.floats(0.01, 1.0), st.integers(0, 9))
def test_level_and_order_of_the_windows_do_not_matter(level: float, shift: int) -> None:
    audio = recordings("BPSK", 1)[0]
    expected = np.roll(burst_windows(audio), shift)
    np.testing.assert_array_equal(burst_windows(np.roll(audio * np.float32(level), shift, axis=0)), expected)


def test_a_transmission_all_the_way_is_one_burst() -> None:
    audio = recordings("AFSK", 1)[0]
    assert burst_windows(np.concatenate([audio[3:7]] * 3)).all()


def test_a_carrier_without_modulation_is_no_burst() -> None:
    audio = recordings("FSK", 1)[0].copy()
    audio[3] = 0.2
    found = burst_windows(audio)
    assert not found[3]
    assert found[4:7].all()


def test_silence_has_no_burst() -> None:
    assert not burst_windows(np.zeros((5, WINDOW), np.float32)).any()
    assert not burst_windows(np.zeros((1, WINDOW), np.float32)).any()


def test_the_threshold_lies_between_two_heaps() -> None:
    assert two_class_threshold(np.array([1.0, 5.0, 1.2, 5.2, 0.9])) == pytest.approx(3.1)
