"""Signals brought to one length."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from armillary.domains.speech.mixing.lengths import fit, looped


def test_signals_are_cut_to_the_shortest_or_padded_to_the_longest():
    signals = [np.arange(1, 6, dtype=np.float32), np.arange(1, 4, dtype=np.float32)]
    assert fit(signals, "min").tolist() == [[1, 2, 3], [1, 2, 3]]
    assert fit(signals, "max").tolist() == [[1, 2, 3, 4, 5], [1, 2, 3, 0, 0]]
    assert fit(signals, "max", 4).tolist() == [[1, 2, 3, 4], [1, 2, 3, 0]]
    assert fit(signals, "min", 100).shape == (2, 3)


@given(st.integers(0, 400), st.integers(0, 1500))
def test_a_noise_of_any_length_gives_any_length(samples, wanted):
    noise = np.random.default_rng(samples).standard_normal(samples).astype(np.float32)
    found = looped(noise, wanted, 100)
    assert found.shape == (wanted,)
    begin = max(0, min(samples - min(50, samples // 2), wanted))
    np.testing.assert_array_equal(found[:begin], noise[:begin])


def test_a_constant_stays_constant_where_the_loop_is_faded():
    np.testing.assert_allclose(looped(np.ones(300, np.float32), 2000, 100), 1, rtol=1e-6)
