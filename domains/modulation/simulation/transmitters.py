"""Transmitters of the 2016 recipe: complex baseband at 200 kS/s, eight samples a symbol.

PAM4 has levels of odd integers, QAM16 and QAM64 those over the root of two, as GNU Radio's frames show: they are
stronger than the phase modulations by 7, 7 and 13 dB.

References:
    O'Shea and West 2016, "Radio machine learning dataset generation with GNU Radio".
"""

from collections.abc import Callable, Mapping
from functools import cache, partial

import numpy as np
from jaxtyping import Complex128, Float64, Int64

from armillary.domains.modulation.simulation.audio import speech
from armillary.domains.modulation.simulation.draws import Draws

SAMPLE_RATE_HZ = 200e3
SPS = 8  # samples a symbol
SPAN = 11  # symbols that a pulse covers
ROLL_OFF = 0.35
GFSK_SENSITIVITY = 0.1  # phase step at full deviation [rad/sample]
GFSK_BT = 0.35
CPFSK_INDEX = 0.5
FM_RATE_HZ = 220.5e3  # WBFM keeps its own rate, unlike the others
FM_DEVIATION_HZ = 75e3

Waves = Complex128[np.ndarray, "n t"]


def transmit(name: str, draws: Draws, num_samples: int) -> Waves:
    """Frames of one modulation; AM-SSB is silent, as published: a sine of frequency zero multiplies it."""
    return _TRANSMITTERS[name](draws, num_samples)


def linear(draws: Draws, num_samples: int, points: Complex128[np.ndarray, " m"]) -> Waves:
    """Random symbols under root-raised-cosine pulses that add up to one, at a random sample of the symbol."""
    count = num_samples // SPS + SPAN + 2
    symbols = points[draws.integers("symbols", count, len(points))]
    pulses = _pulse_matrix(count)
    wave = np.real(symbols) @ pulses + 1j * (np.imag(symbols) @ pulses)
    return _cut(wave, SPAN * SPS + draws.integers("timing", 1, SPS), num_samples)


def gfsk(draws: Draws, num_samples: int) -> Waves:
    """Bits through a Gaussian filter to the frequency."""
    count = num_samples // SPS + 8
    bits = 2.0 * draws.integers("symbols", count, 2) - 1
    step = np.repeat(bits, SPS, 1) @ _gaussian_matrix(count * SPS)
    return _phase_wave(draws, GFSK_SENSITIVITY * step, num_samples, 4 * SPS)


def cpfsk(draws: Draws, num_samples: int) -> Waves:
    """Bits to the frequency, without a filter; the phase goes on."""
    count = num_samples // SPS + 3
    bits = 2.0 * draws.integers("symbols", count, 2) - 1
    return _phase_wave(draws, CPFSK_INDEX * np.pi / SPS * np.repeat(bits, SPS, 1), num_samples, SPS)


def am_dsb(draws: Draws, num_samples: int) -> Waves:
    """One plus speech: the carrier is in it."""
    return (1.0 + speech(draws, num_samples, SAMPLE_RATE_HZ, emphasis=False)).astype(np.complex128)


def am_ssb(draws: Draws, num_samples: int) -> Waves:
    """Nothing."""
    return np.zeros((len(draws), num_samples), np.complex128)


def wbfm(draws: Draws, num_samples: int) -> Waves:
    """Broadcast FM of speech with pre-emphasis."""
    deviation = 2 * np.pi * FM_DEVIATION_HZ / FM_RATE_HZ
    return _phase_wave(draws, deviation * speech(draws, num_samples, FM_RATE_HZ, emphasis=True), num_samples, 0)


def root_raised_cosine(time: Float64[np.ndarray, " t"], roll_off: float) -> Float64[np.ndarray, " t"]:
    """The pulse at `time` [symbols] with unit mean power for symbols of unit power.

    References:
        Proakis and Salehi 2008, "Digital communications", section 9.2.
    """
    edge = 1 / (4 * roll_off)
    time = np.where(np.abs(np.abs(time) - edge) < 1e-9, edge + 1e-6, time)
    safe = np.where(np.abs(time) < 1e-9, 1e-6, time)
    top = np.sin(np.pi * safe * (1 - roll_off)) + 4 * roll_off * safe * np.cos(np.pi * safe * (1 + roll_off))
    return top / (np.pi * safe * (1 - (4 * roll_off * safe) ** 2))


def square(side: int) -> Complex128[np.ndarray, " m"]:
    """A square constellation on odd integers."""
    levels = np.arange(1 - side, side, 2)
    return (levels[:, None] + 1j * levels[None, :]).ravel().astype(np.complex128)


def ring(count: int) -> Complex128[np.ndarray, " m"]:
    """Points on the unit circle."""
    return np.exp(2j * np.pi * (np.arange(count) + 0.5) / count)


def _phase_wave(draws: Draws, step: Float64[np.ndarray, "n s"], num_samples: int, skip: int) -> Waves:
    """exp(j phase) with these steps of the phase [rad], from a random one on, cut at a random sample of the symbol."""
    phase = np.cumsum(step, 1) + 2 * np.pi * draws.uniform("phase", 1)
    if skip == 0:
        return np.exp(1j * phase[:, :num_samples])
    return np.exp(1j * _cut(phase, skip + draws.integers("timing", 1, SPS), num_samples))


def _cut(wave: np.ndarray, start: Int64[np.ndarray, "n 1"], num_samples: int) -> np.ndarray:
    return np.take_along_axis(wave, start + np.arange(num_samples)[None, :], 1)


@cache
def _pulse_matrix(count: int) -> Float64[np.ndarray, "count t"]:
    """Row k holds the pulse of symbol k."""
    time = np.arange(count * SPS) / SPS
    offset = time[None, :] - np.arange(count)[:, None] - SPAN / 2
    return np.where(np.abs(offset) <= SPAN / 2, root_raised_cosine(offset.ravel(), ROLL_OFF).reshape(offset.shape), 0.0)


@cache
def _gaussian_matrix(size: int) -> Float64[np.ndarray, "t t"]:
    """Filtering by a Gaussian of the given bandwidth-time product, as a product of matrices; its taps add up to one."""
    time = np.arange(-2 * SPS, 2 * SPS + 1) / SPS
    taps = np.exp(-2 * (np.pi * GFSK_BT * time) ** 2 / np.log(2))
    taps /= taps.sum()
    lag = np.arange(size)[None, :] - np.arange(size)[:, None] + 2 * SPS
    return np.where((lag >= 0) & (lag < len(taps)), taps[np.clip(lag, 0, len(taps) - 1)], 0.0)


_TRANSMITTERS: Mapping[str, Callable[[Draws, int], Waves]] = {
    "BPSK": partial(linear, points=np.array([-1, 1], np.complex128)),
    "QPSK": partial(linear, points=ring(4)),
    "8PSK": partial(linear, points=ring(8)),
    "PAM4": partial(linear, points=np.arange(-3, 4, 2).astype(np.complex128)),
    "QAM16": partial(linear, points=square(4) / np.sqrt(2)),
    "QAM64": partial(linear, points=square(8) / np.sqrt(2)),
    "GFSK": gfsk,
    "CPFSK": cpfsk,
    "AM-DSB": am_dsb,
    "AM-SSB": am_ssb,
    "WBFM": wbfm,
}
