"""Expert features: cumulants against their theory, and what must not change them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armillary.domains.modulation.features import expert_features, feature_names

LEVELS = np.array([-3.0, -1.0, 1.0, 3.0])
# |C20|, |C40|, |C41|, |C42|, |C63| of symbols of unit power, by hand from the moments of the constellation.
IDEAL = {
    "BPSK": (np.array([-1, 1]), (1.0, 2.0, 2.0, 2.0, 16.0)),
    "QPSK": (np.exp(0.5j * np.pi * np.arange(4)), (0.0, 1.0, 0.0, 1.0, 4.0)),
    "8PSK": (np.exp(0.25j * np.pi * np.arange(8)), (0.0, 0.0, 0.0, 1.0, 4.0)),
    "PAM4": (LEVELS, (1.0, 1.36, 1.36, 1.36, 8.32)),
    "16QAM": ((LEVELS[:, None] + 1j * LEVELS[None, :]).ravel(), (0.0, 0.68, 0.0, 0.68, 2.08)),
}
PLACE = {name: place for place, name in enumerate(feature_names())}
few = settings(max_examples=20)


def frames(wave: np.ndarray) -> np.ndarray:
    return np.stack([wave.real, wave.imag], 1).astype(np.float32)


def signals(seed: int = 0) -> np.ndarray:
    """Noisy frames of a turning 16QAM-like carrier, so that no feature is trivial."""
    rng = np.random.default_rng(seed)
    symbols = np.repeat(rng.choice(LEVELS, (6, 16)) + 1j * rng.choice(LEVELS, (6, 16)), 8, 1)
    noise = rng.standard_normal((6, 128)) + 1j * rng.standard_normal((6, 128))
    return symbols * np.exp(2j * np.pi * 0.01 * np.arange(128)) + 0.3 * noise


@pytest.mark.parametrize("name", IDEAL)
def test_cumulants_of_ideal_constellations_are_those_of_the_theory(name: str):
    points, (c20, c40, c41, c42, c63) = IDEAL[name]
    # Each point equally often: the frame's moments are the constellation's own, without sampling error.
    wave = np.random.default_rng(0).permutation(np.tile(points, 4096 // len(points)))[None, :] * (1 + 0j)
    row = expert_features(frames(wave))[0]
    found = [row[PLACE[column]] for column in ("c20", "c40", "c41", "c42", "c63")]
    np.testing.assert_allclose(found, (c20, c40, c41, c42, c63), atol=1e-4)


def test_all_cumulants_above_the_second_order_of_gaussian_noise_are_near_zero():
    rng = np.random.default_rng(0)
    row = expert_features(frames(rng.standard_normal((1, 200_000)) + 1j * rng.standard_normal((1, 200_000))))[0]
    # Sixth-order sample cumulants of n samples spread by about sqrt(36 n) / n.
    assert max(row[PLACE[name]] for name in PLACE if name.startswith("c") and name[1:].isdigit()) < 0.1


@few
@given(st.integers(-60, 60), st.integers(0, 100))
def test_level_does_not_matter_even_far_from_one(exponent: int, seed: int):
    iq = frames(signals(seed))
    np.testing.assert_allclose(
        expert_features(iq * np.float32(2.0**exponent)), expert_features(iq), rtol=1e-5, atol=1e-5
    )


@few
@given(st.floats(-np.pi, np.pi), st.integers(0, 100))
def test_the_carriers_phase_does_not_matter(phase: float, seed: int):
    wave = signals(seed)
    turned = expert_features(frames(wave * np.exp(1j * phase)))
    np.testing.assert_allclose(turned, expert_features(frames(wave)), rtol=1e-3, atol=1e-3)


@few
@given(st.integers(0, 100))
def test_the_mirrored_spectrum_has_the_same_features(seed: int):
    wave = signals(seed)
    plain, mirrored = expert_features(frames(wave)), expert_features(frames(np.conj(wave)))
    np.testing.assert_allclose(mirrored, plain, rtol=1e-4, atol=1e-4)


def test_frames_of_zeros_and_of_one_impulse_have_finite_features():
    iq = np.zeros((2, 2, 128), np.float32)
    iq[1, 0, 40] = 1
    assert np.isfinite(expert_features(iq)).all()


def test_each_column_has_a_name_of_its_own_and_no_frames_give_no_rows():
    names = feature_names()
    assert len(set(names)) == len(names)
    assert expert_features(frames(signals())).shape == (6, len(names))
    assert expert_features(np.zeros((0, 2, 128), np.float32)).shape == (0, len(names))


def test_a_frame_has_the_same_features_alone_as_among_others():
    iq = frames(signals())
    np.testing.assert_allclose(expert_features(iq[3:4])[0], expert_features(iq)[3], rtol=1e-6)


def test_a_tone_is_where_its_frequency_says():
    tone = np.exp(2j * np.pi * 0.11 * np.arange(128))[None, :]
    row = expert_features(frames(tone))[0]
    bands = row[[PLACE[f"band_{n}"] for n in range(16)]]
    assert bands.argmax() == int(0.11 * 2 * 16)
    assert row[PLACE["frequency_mean"]] == pytest.approx(0.11, abs=1e-4)
    assert row[PLACE["amplitude_std"]] == pytest.approx(0, abs=1e-5)
    assert row[PLACE["asymmetry"]] == pytest.approx(1, abs=1e-3)


def test_the_square_of_bpsk_has_a_line_and_of_qpsk_only_the_fourth_power():
    rng = np.random.default_rng(0)
    carrier = np.exp(2j * np.pi * 0.02 * np.arange(128))
    rows = {}
    for name, points in {"BPSK": np.array([-1, 1]), "QPSK": np.array([1, 1j, -1, -1j])}.items():
        wave = np.repeat(rng.choice(points, (20, 16)), 8, 1) * carrier
        rows[name] = expert_features(frames(wave)).mean(0)
    assert rows["BPSK"][PLACE["line_square"]] > rows["QPSK"][PLACE["line_square"]] + 0.3
    assert rows["QPSK"][PLACE["line_fourth"]] == pytest.approx(rows["BPSK"][PLACE["line_fourth"]], abs=1e-3)
