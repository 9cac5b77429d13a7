"""The analytic signal of receiver audio, and what is no receiver audio."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from armillary.core.errors import DataError
from armillary.domains.modulation.readers.receiver_audio import (
    HALF,
    analytic,
    audio_blocks,
    hilbert_taps,
    stream_analytic,
)

RATE = 48_000.0


def stream(audio: np.ndarray, size: int) -> np.ndarray:
    blocks = [audio[start : start + size] for start in range(0, len(audio), size)]
    return np.concatenate([np.zeros((2, 0), np.float32), *stream_analytic(blocks)], 1)


def test_the_gain_is_within_one_percent_between_0_6_and_23_4_kilohertz() -> None:
    frequency = np.linspace(600, 23_400, 400)
    place = np.arange(-HALF, HALF + 1)
    response = np.exp(-2j * np.pi * frequency[:, None] * place / RATE) @ hilbert_taps()
    np.testing.assert_allclose(response, np.full(len(frequency), -1j), atol=0.01)
    assert abs(hilbert_taps().sum()) < 1e-12


@pytest.mark.parametrize("frequency", [600.0, 3600.0, 12_000.0, 23_000.0])
def test_a_cosine_turns_forward_and_stays_in_place(frequency: float) -> None:
    angle = 2 * np.pi * frequency * np.arange(4000) / RATE + 0.3
    i, q = stream(np.cos(angle).astype(np.float32), 1000)
    inner = slice(HALF, -HALF)
    np.testing.assert_array_equal(i, np.cos(angle).astype(np.float32))
    np.testing.assert_allclose(q[inner], np.sin(angle)[inner], atol=0.01)


@given(npst.arrays(np.float32, st.integers(0, 700), elements=st.floats(-1, 1, width=32)), st.integers(1, 300))
def test_the_size_of_the_blocks_changes_nothing(audio: np.ndarray, size: int) -> None:
    whole = stream(audio, 10_000)
    assert whole.shape == (2, len(audio))
    np.testing.assert_allclose(stream(audio, size), whole, atol=1e-5)


@given(st.integers(0, 40))
def test_a_delay_of_the_audio_delays_the_result(delay: int) -> None:
    audio = np.random.default_rng(1).standard_normal(300).astype(np.float32)
    late = np.concatenate([np.zeros(delay, np.float32), audio])
    np.testing.assert_allclose(stream(late, 97)[:, delay:], stream(audio, 97), atol=1e-5)


def test_a_sample_that_is_not_finite_spoils_its_neighbourhood_alone() -> None:
    audio = np.random.default_rng(2).standard_normal((1, 1000)).astype(np.float32)
    broken = audio.copy()
    broken[0, 500] = np.nan
    iq = analytic(broken)
    assert np.flatnonzero(np.isnan(iq).any((0, 1))).tolist() == list(range(500 - 2 * HALF, 501))
    kept = np.isfinite(iq)
    np.testing.assert_allclose(iq[kept], analytic(audio)[kept], atol=1e-5)


def test_a_file_comes_back_in_blocks(tmp_path: Path) -> None:
    audio = (np.arange(-500, 500) / 1024).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", audio, int(RATE), subtype="PCM_16")
    blocks = list(audio_blocks(tmp_path / "a.wav", "a.wav", sample_rate_hz=RATE, block=300))
    assert [len(block) for block in blocks] == [300, 300, 300, 100]
    np.testing.assert_allclose(np.concatenate(blocks), audio, atol=2**-15)


def test_two_channels_another_rate_and_what_is_no_sound_are_told_apart(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "two.wav", np.zeros((10, 2)), int(RATE))
    with pytest.raises(DataError, match="one channel, got 2") as error:
        list(audio_blocks(tmp_path / "two.wav", "two.wav"))
    assert "I/Q" in error.value.advice
    soundfile.write(tmp_path / "slow.wav", np.zeros(10), 8000)
    with pytest.raises(DataError, match="8000 Hz, expected 48000 Hz"):
        list(audio_blocks(tmp_path / "slow.wav", "slow.wav", sample_rate_hz=RATE))
    with pytest.raises(DataError, match="cannot be read as sound"):
        list(audio_blocks(io.BytesIO(b"RIFFnothing"), "x.wav"))
