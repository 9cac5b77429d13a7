"""Transmitters of the 2016 recipe: pulses, constellations, constant modulus, and what mirrors itself."""

import numpy as np
import pytest

from armillary.core.random import item_seeds
from armillary.domains.modulation.classes import RML2016A
from armillary.domains.modulation.simulation.draws import Draws
from armillary.domains.modulation.simulation.transmitters import (
    ROLL_OFF,
    SPAN,
    SPS,
    linear,
    ring,
    root_raised_cosine,
    square,
    transmit,
)

NUM = 300


def draws(number: int = NUM, seed: int = 0) -> Draws:
    return Draws(item_seeds(np.arange(number, dtype=np.int64), seed, "test"))


@pytest.fixture(scope="module")
def waves() -> dict[str, np.ndarray]:
    """Frames of 256 samples of each class."""
    return {name: transmit(name, draws(), 256) for name in RML2016A}


def pulse(roll_off: float) -> np.ndarray:
    """The pulse over SPAN symbols, as transmitters cut it."""
    return root_raised_cosine(np.arange(-SPAN * SPS // 2, SPAN * SPS // 2 + 1) / SPS, roll_off)


@pytest.mark.parametrize(("roll_off", "most"), [(ROLL_OFF, 0.02), (0.25, 0.02), (0.1, 0.05)])
def test_a_pulse_behind_its_matched_filter_is_zero_at_the_other_symbols(roll_off: float, most: float):
    """What is left comes from cutting the pulse to 11 symbols, and more of it the smaller the roll-off is."""
    shape = pulse(roll_off)
    matched = np.convolve(shape, shape[::-1])
    middle = len(matched) // 2
    others = np.abs(matched[middle % SPS :: SPS])
    assert others.max() == matched[middle]
    assert np.sort(others)[-2] < most * matched[middle]


@pytest.mark.parametrize("roll_off", [0.1, 0.25, ROLL_OFF, 0.5, 1.0])
def test_symbols_of_unit_power_make_a_wave_of_unit_mean_power(roll_off: float):
    assert (pulse(roll_off) ** 2).sum() / SPS == pytest.approx(1, abs=0.01)


def test_the_pulse_has_no_gap_where_its_formula_divides_by_zero():
    edge = 1 / (4 * ROLL_OFF)
    around = root_raised_cosine(np.array([0.0, 1e-5, edge, edge + 1e-5, -edge]), ROLL_OFF)
    assert around[0] == pytest.approx(1 - ROLL_OFF + 4 * ROLL_OFF / np.pi, abs=1e-5)
    assert around[1] == pytest.approx(around[0], abs=1e-5)
    assert around[3] == pytest.approx(around[2], abs=1e-4)
    assert around[4] == around[2]


@pytest.mark.parametrize(
    ("name", "power"), [("BPSK", 1), ("QPSK", 1), ("8PSK", 1), ("PAM4", 5), ("QAM16", 5), ("QAM64", 21)]
)
def test_constellations_of_integers_are_stronger_than_those_on_the_circle(
    name: str, power: float, waves: dict[str, np.ndarray]
):
    """Levels of odd integers, in QAM over the root of two: mean power 5, 5 and 21, that is 7, 7 and 13 dB."""
    # 300 frames hold 10,000 symbols: their mean power is known to 2 %.
    assert (np.abs(waves[name]) ** 2).mean() == pytest.approx(power, rel=0.05)


def test_symbols_keep_their_coordinates_behind_the_matched_filter():
    """Sampled at the symbol instants, QAM16 lies on odd integers over the root of two."""
    number = 40
    count = number + SPAN + 2
    wave = linear(draws(20), number * SPS, square(4) / np.sqrt(2))
    shape = pulse(ROLL_OFF)
    timing = draws(20).integers("timing", 1, SPS)[:, 0]
    points = square(4)[draws(20).integers("symbols", count, 16)]
    for row, late in zip(range(20), timing.tolist(), strict=True):
        seen = np.convolve(wave[row], shape, "same")[(SPS // 2 - late) % SPS :: SPS][6:-6] * np.sqrt(2) / SPS
        nearest = 2 * np.round((seen.real - 1) / 2) + 1 + 1j * (2 * np.round((seen.imag - 1) / 2) + 1)
        assert np.abs(seen - nearest).max() < 0.4
        assert set(np.round(nearest, 6)) <= set(np.round(points[row], 6))


@pytest.mark.parametrize("name", ["GFSK", "CPFSK", "WBFM"])
def test_frequency_modulation_has_constant_modulus(name: str, waves: dict[str, np.ndarray]):
    np.testing.assert_allclose(np.abs(waves[name]), 1, rtol=1e-12)


def test_cpfsk_turns_by_a_quarter_in_each_symbol(waves: dict[str, np.ndarray]):
    step = np.angle(waves["CPFSK"][:, 1:] * waves["CPFSK"][:, :-1].conj())
    np.testing.assert_allclose(np.abs(step), np.pi / 2 / SPS, rtol=1e-9)


def test_gfsk_never_turns_faster_than_its_sensitivity(waves: dict[str, np.ndarray]):
    step = np.abs(np.angle(waves["GFSK"][:, 1:] * waves["GFSK"][:, :-1].conj()))
    assert step.max() == pytest.approx(0.1, rel=1e-3)
    assert step.min() < 0.02


def test_am_ssb_sends_nothing_and_am_dsb_shows_its_carrier(waves: dict[str, np.ndarray]):
    assert not waves["AM-SSB"].any()
    assert not waves["AM-DSB"].imag.any()
    assert np.median(waves["AM-DSB"].real) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("points", [ring(2), ring(4), ring(8), square(4), square(8)], ids=len)
def test_constellations_are_mirror_images_of_themselves(points: np.ndarray):
    mirrored = points.conj()
    assert np.abs(points[:, None] - mirrored[None, :]).min(1).max() < 1e-12


@pytest.mark.parametrize("name", [name for name in RML2016A if name != "AM-SSB"])
def test_the_mean_spectrum_of_a_class_is_symmetric(name: str, waves: dict[str, np.ndarray]):
    """A mirrored frame is one of the same class: positive and negative frequencies have the same power on average."""
    power = np.abs(np.fft.fft(waves[name], axis=1)) ** 2
    upper, lower = power[:, 1:128].sum(1), power[:, :128:-1].sum(1)
    balance = (upper - lower) / power.sum(1)
    # Four standard errors of the mean; rounding where every frame is symmetric.
    assert abs(balance.mean()) < 4 * balance.std() / np.sqrt(NUM) + 1e-12


@pytest.mark.parametrize("name", [name for name in RML2016A if name != "AM-SSB"])
def test_other_seeds_give_other_waves(name: str):
    one, other = (transmit(name, draws(20, seed), 128) for seed in (0, 1))
    assert not np.allclose(one, other)
