"""Simulated voices, judged by numbers: speed, pitch, spectrum, rhythm."""

import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import butter, hilbert, sosfiltfilt, welch

from armillary.domains.speech.simulation.noise import coloured_noise
from armillary.domains.speech.simulation.source import pulses
from armillary.domains.speech.simulation.speakers import draw_speaker
from armillary.domains.speech.simulation.voice import speak

RATE_HZ = 8000
BANDS_HZ = (250, 500, 1000, 2000, 3200)


def bands_db(signal: np.ndarray) -> np.ndarray:
    """Power of octaves relative to the strongest one [dB]."""
    frequency, power = welch(signal, RATE_HZ, nperseg=512)
    levels = [power[(frequency >= centre / 2**0.5) & (frequency < centre * 2**0.5)].mean() for centre in BANDS_HZ]
    return 10 * np.log10(np.array(levels) / max(levels))


def modulation(signal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Root of the power of the envelope's movements in half octaves, relative to its mean."""
    envelope = np.abs(hilbert(signal))
    envelope = sosfiltfilt(butter(2, 30, fs=RATE_HZ, output="sos"), envelope)[:: RATE_HZ // 100]
    frequency, power = welch(envelope / envelope.mean() - 1, 100, nperseg=256)
    centres = 2 ** np.arange(0, 5, 0.5)
    inside = [(frequency >= centre / 2**0.25) & (frequency < centre * 2**0.25) for centre in centres]
    return centres, np.sqrt(np.array([power[part].sum() for part in inside]))


def pitches(signal: np.ndarray) -> np.ndarray:
    """Pitch [Hz] of frames of 40 ms that are loud and periodic, by autocorrelation."""
    size, found = 320, []
    for start in range(0, len(signal) - 2 * size, 160):
        part = signal[start : start + 2 * size]
        part = part - part.mean()
        if np.mean(part**2) < 0.1 * np.mean(signal**2):
            continue
        likeness = np.correlate(part, part, "full")[2 * size - 1 :]
        best = 20 + int(np.argmax(likeness[20:133]))
        if likeness[best] > 0.6 * likeness[0]:
            found.append(RATE_HZ / best)
    return np.array(found)


@pytest.fixture(scope="module")
def voices() -> list[np.ndarray]:
    """Eight seconds each of four men and four women."""
    speakers = [draw_speaker(str(number), kind, 0) for number in range(4) for kind in ("male", "female")]
    return [speak(speaker, 8.0, RATE_HZ, 1) for speaker in speakers]


def test_a_voice_is_a_function_of_speaker_length_rate_and_seed():
    speaker = draw_speaker("1", "male", 0)
    one, again = speak(speaker, 1.0, RATE_HZ, 1), speak(speaker, 1.0, RATE_HZ, 1)
    np.testing.assert_array_equal(one, again)
    for other in (speak(speaker, 1.0, RATE_HZ, 2), speak(draw_speaker("2", "male", 0), 1.0, RATE_HZ, 1)):
        assert np.abs(one - other).max() > 0.01


@given(st.floats(0, 0.6), st.sampled_from([8000, 16_000, 11_025]))
@settings(max_examples=15)
def test_any_length_and_rate_gives_finite_samples_of_that_length(seconds, rate_hz):
    voice = speak(draw_speaker("1", "child", 0), seconds, rate_hz, 3)
    assert voice.shape == (round(seconds * rate_hz),)
    assert voice.dtype == np.float32
    assert np.abs(voice).max(initial=0.0) <= 0.9001
    assert np.isfinite(voice).all()


def test_a_voice_has_the_level_that_is_told(voices: list[np.ndarray]):
    for voice in voices:
        assert np.sqrt(np.mean(voice**2)) == pytest.approx(0.06, rel=1e-3)


def test_a_minute_takes_less_than_three_seconds_of_one_core():
    speaker = draw_speaker("1", "female", 0)
    speak(speaker, 1.0, RATE_HZ, 0)
    begin = time.process_time()
    for seed in range(6):
        speak(speaker, 10.0, RATE_HZ, seed)
    # Some 200 times as fast as said without the checks of shapes; 20 leaves room for a busy machine.
    assert time.process_time() - begin < 3


@pytest.mark.parametrize("kind", ["male", "female", "child"])
def test_a_speaker_keeps_to_its_pitch(kind):
    for number in range(3):
        speaker = draw_speaker(str(number), kind, 0)
        found = pitches(speak(speaker, 6.0, RATE_HZ, 0))
        assert len(found) > 50
        # Within four semitones of its middle, octave errors of the estimate aside.
        assert abs(12 * np.log2(np.median(found) / speaker.pitch_hz)) < 4


def test_the_rhythm_is_that_of_syllables(voices: list[np.ndarray]):
    spectra = [modulation(voice) for voice in voices]
    mean = np.mean([spectrum for _, spectrum in spectra], 0)
    assert 2.5 <= spectra[0][0][np.argmax(mean)] <= 6
    assert 0.3 < mean.max() < 1


def test_the_spectrum_falls_as_that_of_speech(voices: list[np.ndarray]):
    mean = np.mean([bands_db(voice) for voice in voices], 0)
    assert (mean[:2] > -6).all()
    assert (np.diff(mean[1:]) < 0).all()
    assert -30 < mean[-1] < -12


def test_there_are_pauses(voices: list[np.ndarray]):
    for voice in voices:
        frames = voice[: len(voice) // 160 * 160].reshape(-1, 160)
        level_db = 10 * np.log10(np.mean(frames**2, 1) / np.mean(voice**2))
        assert 0.05 < np.mean(level_db < -30) < 0.45


@given(st.floats(70, 400))
@settings(max_examples=20)
def test_pulses_come_at_the_pitch_with_a_power_that_does_not_depend_on_it(pitch_hz):
    steady, ones = np.full(RATE_HZ, pitch_hz), np.ones(RATE_HZ)
    train = pulses(steady, ones, 0.0, 0.0, RATE_HZ, np.random.default_rng(0))
    spectrum = np.abs(np.fft.rfft(train * np.hanning(RATE_HZ)))
    lowest = int(1.5 * pitch_hz)
    assert abs(int(np.argmax(spectrum[20:lowest])) + 20 - pitch_hz) < 2
    assert np.mean(train**2) == pytest.approx(1, rel=0.15)


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_noise_falls_as_its_exponent_says(exponent):
    noise = coloured_noise(20.0, RATE_HZ, exponent, 0)
    frequency, power = welch(noise, RATE_HZ, nperseg=1024)
    inside = (frequency > 150) & (frequency < 3500)
    slope = np.polyfit(np.log10(frequency[inside]), np.log10(power[inside]), 1)[0]
    assert slope == pytest.approx(-exponent, abs=0.1)
    assert np.sqrt(np.mean(noise**2)) == pytest.approx(0.03, rel=1e-3)


@pytest.mark.real
def test_voices_are_near_to_read_speech_in_spectrum_and_rhythm(data_root: Path, voices: list[np.ndarray]):
    tree = data_root / "speech" / "librispeech_mini" / "LibriSpeech" / "train-clean-100"
    real = []
    for path in sorted(tree.rglob("*.flac"))[::10]:
        signal, rate_hz = soundfile.read(path, dtype="float32")
        real.append(soxr.resample(signal, rate_hz, RATE_HZ))
    ours, theirs = (np.mean([bands_db(signal) for signal in signals], 0) for signals in (voices, real))
    assert np.abs(ours - theirs).max() < 8
    ours, theirs = (np.mean([modulation(signal)[1] for signal in signals], 0) for signals in (voices, real))
    assert np.abs(np.log2(ours / theirs)).max() < 1
