"""Frames of the 24 classes of 2018: each by itself, at the labelled SNR."""

import numpy as np
import pytest

from armillary.core.errors import ConfigError
from armillary.core.random import item_seeds
from armillary.domains.modulation.classes import may_conjugate
from armillary.domains.modulation.simulation.draws import Draws
from armillary.domains.modulation.simulation.rml2018 import RML2018, impair, transmit
from armillary.domains.modulation.simulation.transmitters import SPS

NUM = 48  # two frames of each class
PLACE = np.arange(NUM, dtype=np.int64) % 24


def seeds(number: int, seed: int = 0) -> np.ndarray:
    return item_seeds(np.arange(number, dtype=np.int64), seed, "test")


def labels(number: int = NUM) -> np.ndarray:
    return np.where(np.arange(number) % 2, 30, -20).astype(np.float32)


@pytest.fixture(scope="module")
def make() -> RML2018:
    return RML2018("calibrated")


@pytest.fixture(scope="module")
def whole(make: RML2018) -> np.ndarray:
    return make(PLACE, labels(), seeds(NUM))


def test_a_frame_alone_equals_itself_in_a_batch_bit_for_bit(make: RML2018, whole: np.ndarray):
    for row in range(NUM):
        alone = make(PLACE[row : row + 1], labels()[row : row + 1], seeds(NUM)[row : row + 1])
        np.testing.assert_array_equal(alone[0], whole[row], err_msg=make.classes[PLACE[row]])


def test_another_seed_gives_another_frame(make: RML2018, whole: np.ndarray):
    other = make(PLACE, labels(), seeds(NUM, 1))
    assert (np.abs(other - whole).max((1, 2)) > 1e-5).all()


def test_the_moduli_of_a_frame_add_up_to_one(whole: np.ndarray):
    assert whole.shape == (NUM, 2, 1024)
    assert whole.dtype == np.float32
    np.testing.assert_allclose(np.hypot(whole[:, 0], whole[:, 1]).sum(1), 1, rtol=1e-5)


def test_the_snr_of_each_frame_is_its_label(make: RML2018):
    np.testing.assert_allclose(make.make(PLACE, labels(), seeds(NUM)).measured_snr_db, labels(), atol=1e-3)


def test_the_published_noise_rule_of_2016_is_refused():
    with pytest.raises(ConfigError, match=r"data\.generator\.noise=historical.*calibrated"):
        RML2018("historical")


def test_another_length_than_1024_is_refused_with_both_numbers():
    with pytest.raises(ConfigError, match=r"data\.length=128.*1024"):
        RML2018("calibrated", 128)


def sent(name: str, number: int = 60) -> np.ndarray:
    """Frames before the channel."""
    return transmit(name, Draws(seeds(number)), 1024)


@pytest.mark.parametrize("name", ["GMSK", "FM"])
def test_frequency_modulation_has_constant_modulus(name: str):
    np.testing.assert_allclose(np.abs(sent(name, 10)), 1, rtol=1e-9)


def test_gmsk_turns_by_a_quarter_in_a_symbol_at_most():
    wave = sent("GMSK", 10)
    step = np.abs(np.angle(wave[:, 1:] * wave[:, :-1].conj()))
    assert step.max() <= np.pi / 2 / SPS * (1 + 1e-9)


@pytest.mark.parametrize("name", ["BPSK", "QPSK", "16APSK", "256QAM", "OQPSK", "OOK"])
def test_linear_modulation_has_unit_mean_power(name: str):
    # 60 frames hold 7,700 symbols.
    assert (np.abs(sent(name)) ** 2).mean() == pytest.approx(1, abs=0.05)


def test_offset_qpsk_never_comes_as_near_to_zero_as_qpsk():
    near = {name: np.quantile(np.abs(sent(name)), 0.02) for name in ("OQPSK", "QPSK")}
    assert near["OQPSK"] > 1.5 * near["QPSK"]


def balance(name: str) -> np.ndarray:
    """(power above - power below the carrier) over both, of each frame; the carrier itself is left out."""
    wave = sent(name)
    power = np.abs(np.fft.fft((wave - wave.mean(1, keepdims=True)) * np.hanning(1024), axis=1)) ** 2
    upper, lower = power[:, 3:512].sum(1), power[:, :-512:-1][:, 2:].sum(1)
    return (upper - lower) / (upper + lower)


@pytest.mark.parametrize("name", ["AM-SSB-WC", "AM-SSB-SC"])
def test_one_sideband_lies_on_one_side_and_may_not_be_mirrored(name: str):
    assert np.median(np.abs(balance(name))) > 0.9
    assert not may_conjugate(name)


@pytest.mark.parametrize("name", [name for name in RML2018.classes if may_conjugate(name)])
def test_the_mean_spectrum_of_the_other_classes_is_symmetric(name: str):
    found = balance(name)
    # Four standard errors of the mean; rounding where every frame is symmetric.
    assert abs(found.mean()) < 4 * found.std() / np.sqrt(len(found)) + 1e-9


def test_a_carrier_is_where_the_name_says_so():
    for side in ("SSB", "DSB"):
        carrier = {end: np.abs(sent(f"AM-{side}-{end}").mean(1)) for end in ("WC", "SC")}
        assert np.median(carrier["WC"]) == pytest.approx(1, abs=0.1)
        assert np.median(carrier["SC"]) < 0.2


def test_the_channel_is_linear():
    """Twice the wave gives twice as much, in the same channel."""
    wave = sent("QPSK", 8)
    once, twice = (impair(Draws(seeds(8)), factor * wave) for factor in (1, 2))
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-9)
