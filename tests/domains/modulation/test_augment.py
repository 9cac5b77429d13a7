"""Invariants of augmented frames."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary.core.random import item_seeds
from armillary.domains.modulation.augment import augment, changes
from armillary.domains.modulation.classes import RML2016A, may_conjugate
from armillary.domains.modulation.settings import AugmentSettings

QUIET = {"rotate": [False, True], "shift": [False, True], "conjugate": [False, True], "reverse": [False, True]}
NOISELESS = st.fixed_dictionaries({name: st.sampled_from(values) for name, values in QUIET.items()})
ANY = st.builds(
    lambda quiet, noise, span: AugmentSettings(**quiet, noise=noise, noise_db=span),
    NOISELESS,
    st.sampled_from([0.0, 0.5, 1.0]),
    st.sampled_from([(-5.0, 20.0), (10.0, 10.0)]),
)


def frames(count: int = 16, length: int = 64, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 2, length)).astype(np.float32)


def seeds(count: int, epoch: int = 1) -> np.ndarray:
    return item_seeds(np.arange(count), 0, "augment", epoch)


def changed(iq: np.ndarray, conjugable: bool = True, epoch: int = 1, **settings) -> np.ndarray:
    return augment(iq, np.full(len(iq), conjugable), seeds(len(iq), epoch), AugmentSettings(**settings))


def power(iq: np.ndarray) -> np.ndarray:
    return np.square(iq, dtype=np.float64).sum(1).mean(-1)


def spectrum(iq: np.ndarray) -> np.ndarray:
    return np.abs(np.fft.fft(iq[:, 0] + 1j * iq[:, 1])) ** 2


@given(st.integers(0, 20), st.integers(0, 1000))
def test_nothing_asked_for_changes_nothing(count, seed):
    iq = frames(count, seed=seed)
    assert not changes(AugmentSettings())
    np.testing.assert_array_equal(changed(iq), iq)


@given(NOISELESS, st.integers(1, 70), st.booleans(), st.integers(0, 1000))
def test_every_change_but_noise_keeps_the_power(settings, length, conjugable, seed):
    iq = frames(8, length, seed)
    np.testing.assert_allclose(power(changed(iq, conjugable, seed, **settings)), power(iq), rtol=1e-5)


@given(ANY, st.integers(0, 15), st.integers(0, 1000))
def test_a_frame_alone_is_changed_as_in_a_batch(settings, index, epoch):
    iq, conjugable, own = frames(), np.arange(16) % 3 > 0, seeds(16, epoch)
    alone = augment(iq[[index]], conjugable[[index]], own[[index]], settings)
    np.testing.assert_allclose(alone[0], augment(iq, conjugable, own, settings)[index], rtol=1e-6, atol=1e-6)


@given(ANY)
def test_the_input_is_left_as_it_was_and_the_output_is_of_its_kind(settings):
    iq = frames()
    before = iq.copy()
    result = augment(iq, np.ones(16, np.bool_), seeds(16), settings)
    np.testing.assert_array_equal(iq, before)
    assert result.shape == iq.shape
    assert result.dtype == np.float32
    assert np.isfinite(result).all()


@given(st.sampled_from(RML2016A), st.booleans(), st.booleans(), st.booleans(), st.integers(0, 1000))
def test_only_classes_that_allow_it_get_a_mirrored_spectrum(label, rotate, shift, reverse, epoch):
    tone = np.exp(2j * np.pi * 5 / 64 * np.arange(64))
    iq = np.tile(np.stack([tone.real, tone.imag]).astype(np.float32), (64, 1, 1))
    settings = {"rotate": rotate, "shift": shift, "conjugate": True, "reverse": reverse}
    peaks = set(spectrum(changed(iq, may_conjugate(label), epoch, **settings)).argmax(1))
    assert peaks == ({5, 59} if may_conjugate(label) else {5})


def test_rotation_alone_turns_each_frame_by_one_angle_and_angles_cover_the_circle():
    iq = frames(2000, 8)
    before, after = iq[:, 0] + 1j * iq[:, 1], changed(iq, rotate=True)
    ratio = (after[:, 0] + 1j * after[:, 1]) / before
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:, :1], ratio.shape), atol=1e-3)
    np.testing.assert_allclose(np.histogram(np.angle(ratio[:, 0]), 8, (-np.pi, np.pi))[0], 250, atol=60)


def test_a_shift_is_cyclic_and_every_delay_occurs():
    iq = np.zeros((500, 2, 16), np.float32)
    iq[:, 0, 0] = 1
    moved = changed(iq, shift=True)
    assert (moved.sum((1, 2)) == 1).all()
    assert set(moved[:, 0].argmax(1)) == set(range(16))


def test_reversal_runs_backwards_without_mirroring_the_spectrum():
    iq = frames(64)
    result = changed(iq, conjugable=False, reverse=True)
    backwards = (result != iq).any((1, 2))
    assert 16 < backwards.sum() < 48
    np.testing.assert_array_equal(result[backwards, 0], iq[backwards, 0, ::-1])
    np.testing.assert_array_equal(result[backwards, 1], -iq[backwards, 1, ::-1])
    np.testing.assert_allclose(spectrum(result), spectrum(iq), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("ratio_db", [-5.0, 0.0, 20.0])
def test_noise_has_the_power_that_was_asked_for_and_is_white_and_circular(ratio_db):
    iq = 7 * frames(400, 128)
    added = (changed(iq, noise=1.0, noise_db=(ratio_db, ratio_db)) - iq) / np.sqrt(power(iq))[:, None, None]
    z = added[:, 0] + 1j * added[:, 1]
    wanted = 10 ** (-ratio_db / 10)
    assert np.mean(np.abs(z) ** 2) == pytest.approx(wanted, rel=0.02)
    assert abs(np.mean(z**2)) < 0.02 * wanted
    assert abs(np.mean(z[:, 1:] * z[:, :-1].conj())) < 0.02 * wanted
    assert np.mean(added**4) / np.mean(added**2) ** 2 == pytest.approx(3, abs=0.1)


def test_noise_levels_are_even_over_their_range_and_fall_on_the_share_asked_for():
    iq = frames(4000, 256)
    added = power(changed(iq, noise=0.3, noise_db=(-5, 20)) - iq)
    assert np.mean(added > 0) == pytest.approx(0.3, abs=0.03)
    ratio_db = 10 * np.log10(power(iq)[added > 0] / added[added > 0])
    np.testing.assert_allclose(np.quantile(ratio_db, [0.1, 0.5, 0.9]), [-2.5, 7.5, 17.5], atol=1.5)


def test_another_epoch_draws_other_changes_and_one_change_does_not_move_another():
    iq = frames()
    assert np.abs(changed(iq, rotate=True) - changed(iq, epoch=2, rotate=True)).max() > 0.1
    noise = changed(iq, noise=1.0) - iq
    shifted = changed(iq, shift=True, noise=1.0) - changed(iq, shift=True)
    np.testing.assert_allclose(noise, shifted, atol=1e-5)


@given(ANY)
def test_zeros_stay_zeros_and_a_broken_frame_spoils_no_other(settings):
    iq = frames()
    clean = augment(iq, np.ones(16, np.bool_), seeds(16), settings)
    iq[3], iq[5] = 0, np.nan
    result = augment(iq, np.ones(16, np.bool_), seeds(16), settings)
    assert (result[3] == 0).all()
    assert np.isnan(result[5]).all()
    others = [i for i in range(16) if i not in (3, 5)]
    np.testing.assert_array_equal(result[others], clean[others])


def test_no_frames_give_no_frames():
    assert changed(frames(0), rotate=True, noise=1.0).shape == (0, 2, 64)
