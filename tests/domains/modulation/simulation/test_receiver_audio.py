"""Simulated receiver audio: what each class looks like, how much noise it has, and what it depends on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armillary.core.random import item_seeds
from armillary.domains.modulation.classes import SATELLITE
from armillary.domains.modulation.simulation.receiver_audio import SNR_LABELS, generate_audio, receiver_audio
from armillary.domains.modulation.simulation.receiver_front import fm_receive
from armillary.domains.modulation.simulation.receiver_symbols import RATE_HZ, RECTANGLES, ROOT_COSINES, Draws, waveform


def frames(label: str, snr_db: float, count: int, length: int = 1024) -> tuple[np.ndarray, np.ndarray]:
    seeds = item_seeds(np.arange(count, dtype=np.int64), "test")
    place = np.full(count, SATELLITE.index(label), np.int64)
    return generate_audio(place, np.full(count, snr_db, np.float32), seeds, length)


def spectrum(iq: np.ndarray) -> np.ndarray:
    """Power at 0, 46.9 Hz, ... and at negative frequencies, each frame's sum one."""
    power = np.square(np.abs(np.fft.fft((iq[:, 0] + 1j * iq[:, 1]) * np.hanning(iq.shape[2]), axis=1)))
    return power / power.sum(1, keepdims=True)


def centroid_hz(iq: np.ndarray) -> np.ndarray:
    return spectrum(iq) @ np.abs(np.fft.fftfreq(iq.shape[2], 1 / RATE_HZ))


@given(st.integers(0, 2), st.sampled_from(SNR_LABELS), st.integers(0, 2**40))
@settings(max_examples=20)
def test_a_frame_alone_is_the_frame_among_others(place: int, snr: float, index: int) -> None:
    indices = np.array([index, 7, index + 1], np.int64)
    places, snrs = np.array([place, 1, 0], np.int64), np.array([snr, 20, 8], np.float32)
    together, level = generate_audio(places, snrs, item_seeds(indices, 3), 256)
    alone, own_level = generate_audio(places[:1], snrs[:1], item_seeds(indices[:1], 3), 256)
    # One 16-bit step of what is full scale at one, should rounding fall the other way.
    np.testing.assert_allclose(together[0], alone[0], atol=3e-5)
    np.testing.assert_allclose(level[:1], own_level, rtol=1e-5)


def test_other_seeds_give_other_frames() -> None:
    iq, _ = frames("FSK", 20, 2)
    assert np.abs(iq[0] - iq[1]).max() > 1e-3


@pytest.mark.parametrize("label", SATELLITE)
@pytest.mark.parametrize("snr_db", [4.0, 28.0])
def test_the_measured_snr_is_the_label_within_a_decibel(label: str, snr_db: float) -> None:
    iq, measured = frames(label, snr_db, 40)
    assert np.isfinite(iq).all()
    assert np.abs(iq[:, 0]).max() <= 1
    np.testing.assert_allclose(measured, snr_db, atol=1.0)


@pytest.mark.parametrize("label", SATELLITE)
def test_the_spectrum_is_one_sided(label: str) -> None:
    power = spectrum(frames(label, 20, 40)[0])
    assert np.median(power[:, 600:1000].sum(1)) < 1e-3


def test_fsk_is_baseband_afsk_is_in_the_voice_band_and_fast_bpsk_near_twelve_kilohertz() -> None:
    found = {label: np.median(centroid_hz(frames(label, 28, 120)[0])) for label in SATELLITE}
    assert found["FSK"] < 2600
    assert 2000 < found["AFSK"] < 4000
    assert 9000 < found["BPSK"] < 14_000


def test_the_square_of_bpsk_has_a_line_at_twice_its_carrier() -> None:
    iq = frames("BPSK", 28, 60)[0]
    square = (iq[:, 0] + 1j * iq[:, 1]) ** 2
    power = np.square(np.abs(np.fft.fft(square * np.hanning(1024), axis=1)))
    peak = power.max(1) / np.median(power, axis=1)
    assert np.median(peak) > 1e3


def test_the_noise_of_a_carrier_grows_as_the_square_of_the_frequency() -> None:
    draws = Draws(item_seeds(np.arange(300, dtype=np.int64), "triangle"))
    column, rows = np.ones((300, 1)), np.ones((300, 1024))
    # The highest frequency asked for puts the audio low-pass out of the way.
    audio, _ = fm_receive(draws, 0 * rows, 24e3 * column, 1e6 * column, 25 * column, rows)
    power = np.square(np.abs(np.fft.rfft((audio - audio.mean(1, keepdims=True)) * np.hanning(1024), axis=1)))
    level = np.median(power, axis=0)
    ratio = level[[40, 80, 160]].repeat(1) / level[20]
    np.testing.assert_allclose(10 * np.log10(ratio), 20 * np.log10([2, 4, 8]), atol=2.0)


def test_a_carrier_silences_the_noise_of_an_fm_receiver_and_not_of_the_other() -> None:
    seeds = item_seeds(np.arange(30, dtype=np.int64), "burst")
    for label, quieter in (("FSK", True), ("BPSK", False)):
        place = np.full(30, SATELLITE.index(label), np.int64)
        audio, _ = receiver_audio(place, np.full(30, 28, np.float32), seeds, 4096, (1024, 3072))
        steps = np.square(np.diff(audio, axis=1))
        inside, outside = steps[:, 1100:3000].mean(1), steps[:, 3150:].mean(1)
        assert (np.median(inside / outside) < 1) == quieter


@pytest.mark.parametrize("pulse", [RECTANGLES[0], ROOT_COSINES[-1]])
@pytest.mark.parametrize("baud", [1200.0, 4800.0])
def test_pulses_follow_one_another_at_the_symbol_rate(pulse: float, baud: float) -> None:
    draws = Draws(item_seeds(np.arange(200, dtype=np.int64), "pulse"))
    shape = waveform(draws, np.full((200, 1), baud), np.full((200, 1), pulse), 1200)
    step = int(RATE_HZ / baud)
    middle = np.floor((0.5 - draws.uniform("instant")) * step).astype(np.int64) % step
    eye = np.take_along_axis(shape, middle + step * np.arange(1, 20), 1)
    worst = np.abs(np.abs(eye) - np.abs(eye).mean()).mean()
    assert worst < (0.01 if pulse in RECTANGLES else 0.35)
    assert np.abs(eye).mean() == pytest.approx(1.0, abs=0.3)


def test_manchester_symbols_have_no_constant_part() -> None:
    draws = Draws(item_seeds(np.arange(50, dtype=np.int64), "chips"))
    baud, pulse = np.full((50, 1), 1200.0), np.full((50, 1), RECTANGLES[0])
    plain = waveform(draws, baud, pulse, 4000).mean(1).std()
    chips = waveform(draws, baud, pulse, 4000, np.ones((50, 1), np.bool_)).mean(1).std()
    assert chips < 0.3 * plain
