"""AFSK, BPSK and FSK packets as receivers of satellites give them: audio at 48 kHz, and its analytic signal.

The symbol rates and tones are those of the amateur satellites' downlinks. What differs from receiver to receiver
(filters, offsets, level, saturation) is drawn anew for each frame.

References:
    D. Estevez, gr-satellites 4.4.0, satellite definitions (rates, tones and deviations of downlinks).
"""

import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt64

from armillary.domains.modulation.classes import SATELLITE
from armillary.domains.modulation.readers.receiver_audio import HALF, analytic
from armillary.domains.modulation.simulation.receiver_front import Column, Rows, finish, fm_receive, ssb_receive
from armillary.domains.modulation.simulation.receiver_symbols import (
    GAUSSIANS,
    RATE_HZ,
    RECTANGLES,
    ROOT_COSINES,
    Draws,
    waveform,
)

SNR_LABELS = tuple(float(snr) for snr in range(4, 36, 4))
# Samples at either end that the filters, which take what they get as periodic, spoil.
_MARGIN = 128
_AT_ONCE = 256  # frames whose arrays are in memory together
# Rates of FSK downlinks [Bd], and how often each is drawn.
_FSK_BD, _FSK_SHARE = (1200.0, 2400.0, 4800.0, 9600.0, 9766.0), (0.15, 0.1, 0.35, 0.3, 0.1)
# AFSK: symbol rate [Bd], middle of the two tones [Hz], half their distance [Hz]; U482C modems, then Bell 202.
_AFSK = np.array([[4800, 3600, 1200], [1200, 1700, 500], [1240, 1700, 500]], np.float64)
_PULSES = GAUSSIANS + RECTANGLES + ROOT_COSINES


def generate_audio(
    place: Int64[np.ndarray, " n"], snr_db: Float32[np.ndarray, " n"], seeds: UInt64[np.ndarray, " n"], length: int
) -> tuple[Float32[np.ndarray, "n 2 l"], Float32[np.ndarray, " n"]]:
    """Analytic frames of the classes at `place` in SATELLITE, and their measured SNR [dB].

    A frame depends on its own class, SNR and seed alone, up to rounding. The SNR is that before the detector, in a band
    of twice the symbol rate (AFSK: the band that Carson's rule gives).
    """
    audio, measured = receiver_audio(place, snr_db, seeds, length + 2 * HALF)
    return analytic(audio), measured


def receiver_audio(
    place: Int64[np.ndarray, " n"],
    snr_db: Float32[np.ndarray, " n"],
    seeds: UInt64[np.ndarray, " n"],
    num_samples: int,
    burst: tuple[int, int] | None = None,
) -> tuple[Float32[np.ndarray, "n t"], Float32[np.ndarray, " n"]]:
    """The audio itself, full scale at 1. With `burst` the carrier is on from one sample to the other only."""
    audio = np.zeros((len(place), num_samples), np.float32)
    measured = np.zeros(len(place), np.float32)
    for number, name in enumerate(SATELLITE):
        of_class = np.flatnonzero(place == number)
        for first in range(0, len(of_class), _AT_ONCE):
            rows = of_class[first : first + _AT_ONCE]
            levels = snr_db[rows, None].astype(np.float64)
            audio[rows], measured[rows] = _receive(name, Draws(seeds[rows]), levels, num_samples, burst)
    return audio, measured


def _receive(
    name: str, draws: Draws, snr_db: Column, num_samples: int, burst: tuple[int, int] | None
) -> tuple[Float32[np.ndarray, "n t"], Float32[np.ndarray, " n"]]:
    """Frames of one class."""
    # Whole multiples of 128 are fast to transform.
    carrier = np.ones((len(snr_db), -(-(num_samples + 2 * _MARGIN) // 128) * 128))
    if burst is not None:
        carrier[:, : _MARGIN + burst[0]] = carrier[:, _MARGIN + burst[1] :] = 0.0
    made, measured = _TRANSMITTERS[name](draws, snr_db, carrier)
    audio = finish(draws, made)[:, _MARGIN : _MARGIN + num_samples]
    return audio.astype(np.float32), measured.astype(np.float32)


def _fsk(draws: Draws, snr_db: Column, carrier: Rows) -> tuple[Rows, Float64[np.ndarray, " n"]]:
    """Two-level FSK after the discriminator; modulation index 0.4 to 1.2, of the slow rates up to 3."""
    baud = draws.choice("baud", _FSK_BD, _FSK_SHARE) * draws.uniform("clock", 0.999, 1.001)
    index = draws.log_uniform("index", 0.4, 1.0) * np.where(baud < 3000, draws.log_uniform("wider", 1.0, 3.0), 1.2)
    shape = waveform(draws, baud, draws.choice("pulse", _PULSES), carrier.shape[1])
    deviation = 0.5 * index * baud
    return fm_receive(draws, deviation * shape, 2 * baud, 0.5 * baud, snr_db, carrier)


def _afsk(draws: Draws, snr_db: Column, carrier: Rows) -> tuple[Rows, Float64[np.ndarray, " n"]]:
    """Two tones of continuous phase that modulate an FM transmitter with a peak deviation of 1.5 to 5 kHz."""
    kind = draws.choice("kind", (0.0, 1.0, 2.0), (0.6, 0.25, 0.15))[:, 0].astype(np.int64)
    kinds = _AFSK[kind]
    baud, middle, half = (kinds[:, i, None] * draws.uniform(f"tone {i}", 0.995, 1.005) for i in range(3))
    shape = waveform(draws, baud, draws.choice("pulse", RECTANGLES + GAUSSIANS[-2:]), carrier.shape[1])
    phase = np.cumsum((middle + half * shape) / RATE_HZ, 1) + draws.uniform("tone phase")
    # Pre-emphasis and the transmitter's filters make one tone louder than the other.
    twist = 10 ** (draws.uniform("twist", -4.0, 4.0) * shape / 40)
    deviation = draws.log_uniform("deviation", 1.5e3, 5e3)
    highest = middle + half + 0.25 * baud
    tone = deviation * twist * np.cos(2 * np.pi * phase)
    return fm_receive(draws, tone, 2 * (deviation + highest), highest, snr_db, carrier)


def _bpsk(draws: Draws, snr_db: Column, carrier: Rows) -> tuple[Rows, Float64[np.ndarray, " n"]]:
    """BPSK on an audio carrier: 9600 Bd near 12 kHz through a wide receiver, slower also near 1.5 kHz."""
    wide = draws.chance("wide", 0.65)
    fast = wide & draws.chance("fast", 0.75)
    baud = np.where(fast, 9600.0, draws.choice("slow", (1200.0, 2400.0), (0.8, 0.2)))
    baud = baud * draws.uniform("clock", 0.999, 1.001)
    middle = np.where(fast, draws.uniform("place", 10.5e3, 14e3), draws.uniform("place", 6e3, 16e3))
    tone = np.where(wide, middle, draws.uniform("low", 0.9e3, 2e3))
    manchester = ~fast & draws.chance("manchester", 0.15)
    shape = waveform(draws, baud, draws.choice("pulse", ROOT_COSINES + RECTANGLES), carrier.shape[1], manchester)
    return ssb_receive(draws, shape, tone, 2 * baud, snr_db, carrier, wide)


_TRANSMITTERS = {"AFSK": _afsk, "BPSK": _bpsk, "FSK": _fsk}
