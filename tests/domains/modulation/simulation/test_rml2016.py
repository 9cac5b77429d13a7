"""Frames after the 2016 recipe: each by itself, both noise rules, and beside frames made with GNU Radio."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from armillary.core.errors import ConfigError
from armillary.core.random import item_seeds
from armillary.domains.modulation.classes import RML2016A as CLASSES
from armillary.domains.modulation.features import expert_features
from armillary.domains.modulation.frames import Frames, concat
from armillary.domains.modulation.readers.rml_pickle import read_rml_pickle
from armillary.domains.modulation.simulation.rml2016 import RML2016, RML2016A, RML2016B, Made, Noise

DIGITAL = ("8PSK", "BPSK", "CPFSK", "GFSK", "PAM4", "QAM16", "QAM64", "QPSK")
RULES: tuple[Noise, ...] = ("historical", "calibrated")


def seeds(number: int, seed: int = 0) -> np.ndarray:
    return item_seeds(np.arange(number, dtype=np.int64), seed, "test")


def made(make: RML2016, snr_db: float, per_class: int = 200, seed: int = 0) -> tuple[Made, np.ndarray]:
    """Frames of every class at one label, and the place of the class of each."""
    place = np.arange(per_class * len(make.classes), dtype=np.int64) % len(make.classes)
    return make.make(place, np.full(len(place), snr_db, np.float32), seeds(len(place), seed)), place


def complex_frames(iq: np.ndarray) -> np.ndarray:
    """Frames of unit mean power."""
    wave = iq[:, 0].astype(np.float64) + 1j * iq[:, 1]
    return wave / np.sqrt((np.abs(wave) ** 2).mean(1, keepdims=True))


@pytest.mark.parametrize("rule", RULES)
def test_a_frame_alone_equals_itself_in_a_batch_bit_for_bit(rule: Noise):
    make = RML2016A(rule)
    place = np.arange(88, dtype=np.int64) % 11
    snr = np.where(np.arange(88) % 2, 18, -6).astype(np.float32)
    whole = make(place, snr, seeds(88))
    for row in range(22):
        alone = make(place[row : row + 1], snr[row : row + 1], seeds(88)[row : row + 1])
        np.testing.assert_array_equal(alone[0], whole[row])
    turned = make(place[::-1].copy(), snr[::-1].copy(), seeds(88)[::-1].copy())
    np.testing.assert_array_equal(turned[::-1], whole)


@pytest.mark.parametrize("rule", RULES)
def test_another_seed_gives_another_frame(rule: Noise):
    one, other = (made(RML2016A(rule), 18, 5, seed)[0].iq for seed in (0, 1))
    assert (np.abs(one - other).max((1, 2)) > 1e-4).all()


@pytest.mark.parametrize("rule", RULES)
def test_the_moduli_of_a_frame_add_up_to_one(rule: Noise):
    iq = made(RML2016A(rule), 0, 10)[0].iq
    np.testing.assert_allclose(np.hypot(iq[:, 0], iq[:, 1]).sum(1), 1, rtol=1e-5)
    assert iq.dtype == np.float32
    assert iq.shape == (110, 2, 128)


@pytest.fixture(scope="module")
def measured() -> dict[int, np.ndarray]:
    """Measured SNR [dB] of 400 frames a class by label, (class, frame), under the published noise rule."""
    return {
        label: made(RML2016A("historical"), label, 400)[0].measured_snr_db.reshape(400, 11).T for label in (0, 6, 18)
    }


def test_the_published_rule_changes_the_snr_by_two_for_each_one_of_the_label(measured: dict[int, np.ndarray]):
    for place, name in enumerate(CLASSES):
        if name != "AM-SSB":
            middle = {label: np.median(snr[place]) for label, snr in measured.items()}
            assert middle[6] - middle[0] == pytest.approx(12, abs=1e-3)
            assert middle[18] - middle[6] == pytest.approx(24, abs=1e-3)


def test_at_the_label_18_the_digital_classes_have_about_41_db(measured: dict[int, np.ndarray]):
    """41 dB as measured on frames made with GNU Radio; fading moves the mean of 400 frames by a few tenths."""
    rows = [CLASSES.index(name) for name in DIGITAL]
    assert np.median(measured[18][rows], axis=1).mean() == pytest.approx(41, abs=2)


def test_am_ssb_is_silent_and_the_same_noise_whatever_the_label_says(measured: dict[int, np.ndarray]):
    place = CLASSES.index("AM-SSB")
    for snr in measured.values():
        assert np.isneginf(snr[place]).all()
        assert np.isfinite(np.delete(snr, place, 0)).all()
    for rule in RULES:
        low, high = (made(RML2016A(rule), label, 10)[0].iq[place::11] for label in (-20, 18))
        np.testing.assert_allclose(low, high, atol=1e-7)


@pytest.mark.parametrize("label", [-20, 0, 7, 18])
@pytest.mark.parametrize("make", [RML2016A("calibrated"), RML2016B("calibrated")], ids=["10a", "10b"])
def test_calibrated_noise_gives_the_snr_that_the_label_says(make: RML2016, label: float):
    frames, place = made(make, label, 20)
    sent = np.array(make.classes)[place] != "AM-SSB"
    np.testing.assert_allclose(frames.measured_snr_db[sent], label, atol=1e-3)


def test_ten_b_has_the_frames_of_ten_a_without_am_ssb():
    assert RML2016B.classes == tuple(name for name in CLASSES if name != "AM-SSB")
    args = (np.full(3, 4.0, np.float32), seeds(3))
    for place, name in enumerate(RML2016B.classes):
        ours = RML2016B("historical")(np.full(3, place), *args)
        np.testing.assert_array_equal(ours, RML2016A("historical")(np.full(3, CLASSES.index(name)), *args))


def test_another_length_than_128_is_refused_with_both_numbers():
    with pytest.raises(ConfigError, match=r"data\.length=1024.*128"):
        RML2016A("historical", 1024)


def test_no_frames_give_no_frames():
    assert RML2016A("historical")(np.zeros(0, np.int64), np.zeros(0, np.float32), seeds(0)).shape == (0, 2, 128)


Pair = tuple[Frames, np.ndarray]


@pytest.fixture(scope="module")
def pair(data_root: Path) -> Pair:
    """The set made with GNU Radio, 80 frames of each class and label, and as many of ours."""
    path = data_root / "modulation" / "rml2016a_regen" / "RML2016.10a_regen80_dict.pkl.gz"
    frames = concat(list(read_rml_pickle(path, lambda error: pytest.fail(str(error)))))
    place = np.array([CLASSES.index(name) for name in frames.label], np.int64)
    return frames, RML2016A("historical")(place, frames.snr_db, seeds(len(frames)))


def spectra(iq: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Mean power density in bands of |f| [cycles a sample], (frame, band)."""
    power = np.abs(np.fft.fft(complex_frames(iq) * np.hanning(iq.shape[2]), axis=1)) ** 2
    frequency = np.abs(np.fft.fftfreq(iq.shape[2]))
    return np.stack([power[:, (frequency >= a) & (frequency < b)].mean(1) for a, b in pairwise(edges)], 1)


@pytest.mark.real
@pytest.mark.parametrize("name", CLASSES)
def test_spectra_are_those_of_gnu_radio(name: str, pair: Pair):
    """Eight bands up to an eighth of the rate, labels 4 to 18, where the signal is within 12 dB of its strongest band.

    1.5 dB: a key's 80 frames are of few bursts, and bursts fade by several dB differently over the band; most bands
    differ by less than 0.4 dB.
    """
    frames, ours = pair
    chosen = np.flatnonzero((frames.label == name) & (frames.snr_db >= 4))
    edges = np.array([0, 1, 2, 3, 4, 6, 8, 10, 12]) / 128
    theirs, own = (10 * np.log10(spectra(iq[chosen], edges).mean(0)) for iq in (np.asarray(frames.iq), ours))
    signal = theirs > theirs.max() - 12
    np.testing.assert_allclose(own[signal], theirs[signal], atol=1.5)


@pytest.mark.real
@pytest.mark.parametrize("name", CLASSES)
def test_the_noise_is_that_of_gnu_radio(name: str, pair: Pair):
    """The median over a key's frames of the density outside the signal's band, the mean difference over labels.

    2.5 dB: at one high label few bursts make up to 7 dB; over 20 labels that is 1 dB.
    """
    frames, ours = pair
    chosen = np.flatnonzero(frames.label == name)
    edges = np.array([0.1875, 0.51])
    theirs, own = (10 * np.log10(spectra(iq[chosen], edges)[:, 0]) for iq in (np.asarray(frames.iq), ours))
    keys = [frames.snr_db[chosen] == label for label in range(-20, 20, 2)]
    differences = [np.median(theirs[key]) - np.median(own[key]) for key in keys]
    assert abs(np.mean(differences)) < 2.5
    # At low labels noise is all there is.
    assert np.abs(differences[:5]).max() < 1


@pytest.mark.real
@pytest.mark.parametrize("name", CLASSES)
def test_envelopes_are_those_of_gnu_radio(name: str, pair: Pair):
    """Quantiles of |z| over its root mean square, labels from 4 on; 0.06 as few bursts allow.

    The outer ones of speech (AM-DSB) come near 0.08: theirs pauses and fades in another proportion.
    """
    frames, ours = pair
    chosen = np.flatnonzero((frames.label == name) & (frames.snr_db >= 4))
    levels = (0.05, 0.25, 0.5, 0.75, 0.95)
    theirs, own = (np.quantile(np.abs(complex_frames(iq[chosen])), levels) for iq in (np.asarray(frames.iq), ours))
    np.testing.assert_allclose(own, theirs, atol=0.1 if name == "AM-DSB" else 0.06)


@pytest.mark.real
def test_what_learns_on_generated_frames_knows_those_of_gnu_radio(pair: Pair):
    """A forest trained on a third of ours names at least 0.45 of theirs, whose labels include those of pure noise."""
    frames, ours = pair
    place = np.array([CLASSES.index(name) for name in frames.label])
    train, test = np.arange(0, len(place), 3), np.arange(1, len(place), 4)
    forest = RandomForestClassifier(50, min_samples_leaf=2, random_state=0)
    forest.fit(expert_features(ours[train]), place[train])
    guess = forest.predict(expert_features(np.asarray(frames.iq)[test]))
    assert (guess == place[test]).mean() >= 0.45
