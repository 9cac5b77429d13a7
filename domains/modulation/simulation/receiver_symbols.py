"""Symbols of packets and the waveform of their pulses, many frames at once, each at its own rate and shape."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, UInt64

from armillary.core.random import item_uniform

RATE_HZ = 48_000.0
FASTEST_BD = 10_000.0  # symbols a second that symbols are drawn for
_SPAN = 4  # symbols that a pulse reaches to either side
_STEPS = 256  # places of a symbol at which pulses are tabulated
_TILE = 16


@dataclass(frozen=True)
class Draws:
    """What is drawn for each frame, as a column; every name has its own numbers, whoever else draws."""

    seeds: UInt64[np.ndarray, " n"]

    def uniform(self, name: str, low: float = 0.0, high: float = 1.0) -> Float64[np.ndarray, "n 1"]:
        """A number between low and high."""
        return low + (high - low) * item_uniform(self.seeds, name, 1)

    def log_uniform(self, name: str, low: float, high: float) -> Float64[np.ndarray, "n 1"]:
        """A number between low and high whose logarithm is uniform."""
        return np.exp(self.uniform(name, np.log(low), np.log(high)))

    def choice(
        self, name: str, values: tuple[float, ...], weights: tuple[float, ...] | None = None
    ) -> Float64[np.ndarray, "n 1"]:
        """One of the values, by weight."""
        share = np.cumsum(np.ones(len(values)) if weights is None else np.array(weights, np.float64))
        place = np.searchsorted(share / share[-1], item_uniform(self.seeds, name, 1)[:, 0], side="right")
        return np.array(values, np.float64)[np.minimum(place, len(values) - 1)][:, None]

    def chance(self, name: str, share: float) -> Bool[np.ndarray, "n 1"]:
        """True in that share of the frames, as a column."""
        return item_uniform(self.seeds, name, 1) < share


def _rectangle(u: Float64[np.ndarray, " s"], edge: float) -> Float64[np.ndarray, " s"]:
    """One symbol long, with edges of that many symbols."""
    return np.clip((0.5 - np.abs(u)) / edge + 0.5, 0.0, 1.0)


def _gaussian(u: Float64[np.ndarray, " s"], bandwidth_time: float) -> Float64[np.ndarray, " s"]:
    """A rectangle through a Gaussian filter whose half-power frequency is bandwidth_time symbol rates.

    References:
        Murota and Hirade 1981, "GMSK modulation for digital mobile radio telephony", section II.
    """
    from scipy.special import erf

    scale = 2 * np.pi * bandwidth_time / np.sqrt(2 * np.log(2))
    return 0.5 * (erf(scale * (u + 0.5)) - erf(scale * (u - 0.5)))


def _root_raised_cosine(u: Float64[np.ndarray, " s"], rolloff: float) -> Float64[np.ndarray, " s"]:
    """The textbook impulse response with unit energy in a symbol, tapered to zero where the table ends."""
    u = u + 1e-9  # off the removable singularities at 0 and 1 / (4 rolloff)
    top = np.sin(np.pi * u * (1 - rolloff)) + 4 * rolloff * u * np.cos(np.pi * u * (1 + rolloff))
    return top / (np.pi * u * (1 - (4 * rolloff * u) ** 2)) * np.cos(np.pi * u / (2 * _SPAN + 2)) ** 0.5


_PLACES = (np.arange((2 * _SPAN + 1) * _STEPS) + 0.5) / _STEPS - _SPAN - 0.5
_PULSES = np.stack(
    [_rectangle(_PLACES, edge) for edge in (0.05, 0.25)]
    + [_gaussian(_PLACES, product) for product in (0.3, 0.5, 0.7, 1.0)]
    + [_root_raised_cosine(_PLACES, rolloff) for rolloff in (0.2, 0.35, 0.5, 0.8, 1.0)]
)
RECTANGLES, GAUSSIANS, ROOT_COSINES = (0.0, 1.0), (2.0, 3.0, 4.0, 5.0), (6.0, 7.0, 8.0, 9.0, 10.0)
# One period of what packets begin with: alternating bits, Mobitex' pairs, and HDLC flags in NRZI.
_PREAMBLES = np.tile(
    np.array([[1, -1, 1, -1, 1, -1, 1, -1], [1, 1, -1, -1, 1, 1, -1, -1], [1, 1, 1, 1, 1, 1, 1, -1]], np.float64),
    (1, _TILE // 8),
)


def waveform(
    draws: Draws,
    baud: Float64[np.ndarray, "n 1"],
    pulse: Float64[np.ndarray, "n 1"],
    num_samples: int,
    manchester: Bool[np.ndarray, "n 1"] | None = None,
) -> Float64[np.ndarray, "n t"]:
    """sum_k a_k p(t baud - k) with a_k = +-1, sampled at 48 kHz from a random instant of a packet on.

    Random bits in 78 % of the frames, a preamble in 10 %, a preamble that turns into bits in 12 %. With `manchester`
    (a column of flags) each symbol is sent as two chips of opposite sign. `pulse` is a place in the table of pulses.
    """
    number = int(np.ceil(num_samples * FASTEST_BD / RATE_HZ)) + 2 * _SPAN + 3
    symbols = _symbols(draws, number)
    if manchester is not None:
        chips = np.repeat(symbols, 2, axis=1)[:, :number] * np.where(np.arange(number) % 2, -1.0, 1.0)
        symbols = np.where(manchester, chips, symbols)
        baud = np.where(manchester, 2 * baud, baud)
    instant = draws.uniform("instant") + np.arange(num_samples) * (baud / RATE_HZ)
    place = np.floor(instant).astype(np.int64)
    inside = np.minimum(((instant - place) * _STEPS).astype(np.int64), _STEPS - 1)
    inside += pulse.astype(np.int64) * _PULSES.shape[1]
    place += np.arange(len(baud))[:, None] * number
    total = np.zeros((len(baud), num_samples))
    for step in range(2 * _SPAN + 1):
        # The table begins _SPAN symbols before the pulse's own; symbol `place + step` began that long ago.
        total += symbols.ravel()[place + (2 * _SPAN - step)] * _PULSES.ravel()[inside + step * _STEPS]
    return total


def _symbols(draws: Draws, number: int) -> Float64[np.ndarray, "n s"]:
    bits = np.where(item_uniform(draws.seeds, "bits", number) < 0.5, -1.0, 1.0)
    kind = draws.choice("preamble", (0.0, 1.0, 2.0), (0.6, 0.2, 0.2))[:, 0].astype(np.int64)
    preamble = np.tile(_PREAMBLES[kind], (1, number // _TILE + 1))[:, :number]
    change = draws.choice("packet", (0.0, 1.0, 0.5), (0.78, 0.10, 0.12))
    change = np.where(change == 0.5, draws.uniform("change", 0.1, 0.9), change * 2)
    return np.where(np.arange(number) < change * number, preamble, bits)
