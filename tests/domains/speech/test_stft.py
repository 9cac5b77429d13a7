"""The transform comes back exactly, at every length and rate."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary.domains.speech.stft import hop_samples, istft, stft, window_samples


@given(samples=st.integers(1, 1500), rate_hz=st.sampled_from([8000, 11025, 16000]), seed=st.integers(0, 9))
def test_the_inverse_gives_the_signal_back(samples: int, rate_hz: int, seed: int) -> None:
    signal = np.random.default_rng(seed).standard_normal((2, samples)).astype(np.float32)
    np.testing.assert_allclose(istft(stft(signal, rate_hz), rate_hz, samples), signal, rtol=0, atol=1e-5)


def test_a_window_is_32_ms_and_a_hop_a_quarter_of_it() -> None:
    assert [(window_samples(rate), hop_samples(rate)) for rate in (8000, 16000)] == [(256, 64), (512, 128)]
    assert stft(np.zeros((3, 640), np.float32), 8000).shape == (3, 129, 11)


def test_a_sine_has_half_its_amplitude_at_its_line() -> None:
    tone = 0.6 * np.sin(2 * np.pi * 1000 * np.arange(8000) / 8000)
    assert np.abs(stft(tone.astype(np.float32), 8000))[32, 60] == pytest.approx(0.3, rel=1e-3)
