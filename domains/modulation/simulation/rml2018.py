"""Frames of the 24 classes of RML2018.01a: 1,024 samples, true SNR, random pulses and offsets.

The published set was sent over the air and, in part, simulated with the impairments of table 1 of the paper; here all
are simulated. What differs: the multipath is three Rayleigh paths, symbols have eight samples, audio is synthetic, and
the SNR of each frame is exactly its label.

References:
    O'Shea, Roy and Clancy 2018, "Over-the-air deep learning based radio signal classification", table 1.
"""

import numpy as np
from jaxtyping import Complex128, Float32, Float64, Int64, UInt64
from scipy.signal import hilbert

from armillary.core.errors import ConfigError
from armillary.domains.modulation.classes import RML2018 as CLASSES
from armillary.domains.modulation.simulation.audio import speech
from armillary.domains.modulation.simulation.by_class import by_class
from armillary.domains.modulation.simulation.channel import white_noise
from armillary.domains.modulation.simulation.constellations import CONSTELLATIONS
from armillary.domains.modulation.simulation.draws import Draws
from armillary.domains.modulation.simulation.rml2016 import Made, Noise
from armillary.domains.modulation.simulation.transmitters import SPAN, SPS, root_raised_cosine

LENGTH = 1024
SAMPLE_RATE_HZ = 1e6  # no file tells it; audio is taken at a tenth of it, so that a frame holds several of its periods
_ROLL_OFFS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4)
_CARRIER = 1e-3  # standard deviation of the carrier offset [cycles a sample]
_CLOCK = 1e-5  # standard deviation of the relative clock offset
_SPREAD = 0.5  # delay spread of the paths [samples]
_MODULATION = 0.6  # root mean square of the audio in AM
_FM_DEVIATION = 0.05  # root mean square of the frequency in FM [cycles a sample]

Waves = Complex128[np.ndarray, "n t"]


class RML2018:
    """(place of the class, SNR [dB], seeds) -> frames with sum |z| = 1 each; frame i depends on its own alone.

    Raises:
        ConfigError: another noise rule than 'calibrated', or another length than 1,024.
    """

    classes = CLASSES

    def __init__(self, noise: Noise, length: int = LENGTH) -> None:
        if length != LENGTH:
            raise ConfigError(f"data.length={length}: the generator of RML2018 makes frames of {LENGTH} samples.")
        if noise != "calibrated":
            raise ConfigError(f"data.generator.noise={noise}: the labels of RML2018 are true; set it to calibrated.")

    def __call__(
        self, place: Int64[np.ndarray, " n"], snr_db: Float32[np.ndarray, " n"], seeds: UInt64[np.ndarray, " n"]
    ) -> Float32[np.ndarray, "n 2 l"]:
        """The frames alone."""
        return self.make(place, snr_db, seeds).iq

    def make(
        self, place: Int64[np.ndarray, " n"], snr_db: Float32[np.ndarray, " n"], seeds: UInt64[np.ndarray, " n"]
    ) -> Made:
        """Frames with their measured SNR."""
        made = Made(np.empty((len(place), 2, LENGTH), np.float32), np.empty(len(place), np.float32))
        for name, rows in by_class(place, self.classes):
            draws = Draws(seeds[rows])
            signal = impair(draws, transmit(name, draws, LENGTH))
            noise = white_noise(draws, LENGTH)
            power, floor = (np.mean(np.abs(part) ** 2, 1, keepdims=True) for part in (signal, noise))
            noise = noise * np.sqrt(power / floor * 10 ** (-snr_db[rows, None].astype(np.float64) / 10))
            made.measured_snr_db[rows] = 10 * np.log10(power[:, 0] / np.mean(np.abs(noise) ** 2, 1))
            received = signal + noise
            received = received / np.abs(received).sum(1, keepdims=True)
            made.iq[rows] = np.stack([received.real, received.imag], 1)
        return made


def transmit(name: str, draws: Draws, num_samples: int) -> Waves:
    """Frames of one class before the channel."""
    if name in CONSTELLATIONS:
        return pulses(draws, num_samples, CONSTELLATIONS[name])
    if name == "OQPSK":
        return staggered(draws, num_samples)
    if name == "GMSK":
        return gmsk(draws, num_samples)
    audio = speech(draws, num_samples, SAMPLE_RATE_HZ / 10, emphasis=False, always=True)
    audio = audio / np.maximum(audio.std(1, keepdims=True), 1e-9)
    if name == "FM":
        return np.exp(2j * np.pi * np.cumsum(_FM_DEVIATION * audio, 1))
    carrier = 1.0 if name.endswith("-WC") else 0.0
    sidebands = hilbert(audio, axis=1) if "SSB" in name else audio.astype(np.complex128)
    return carrier + _MODULATION * sidebands


def pulses(draws: Draws, num_samples: int, points: Complex128[np.ndarray, " m"]) -> Waves:
    """Random symbols under root-raised-cosine pulses of a random roll-off, at a random instant of the symbol."""
    count = num_samples // SPS + SPAN + 2
    symbols = points[draws.integers("symbols", count, len(points))]
    return _shaped(draws, symbols, num_samples)


def staggered(draws: Draws, num_samples: int) -> Waves:
    """Offset QPSK: the imaginary part comes half a symbol after the real one."""
    count = num_samples // SPS + SPAN + 3
    bits = (2.0 * draws.integers("symbols", 2 * count, 2) - 1) / np.sqrt(2)
    real = _shaped(draws, bits[:, :count].astype(np.complex128), num_samples + SPS // 2)
    imaginary = _shaped(draws, bits[:, count:].astype(np.complex128), num_samples + SPS // 2)
    return np.real(real[:, SPS // 2 :]) + 1j * np.real(imaginary[:, :num_samples])


def gmsk(draws: Draws, num_samples: int) -> Waves:
    """Minimum shift keying with a Gaussian filter of bandwidth-time product 0.3."""
    count = num_samples // SPS + 8
    bits = np.repeat(2.0 * draws.integers("symbols", count, 2) - 1, SPS, 1)
    time = np.arange(-2 * SPS, 2 * SPS + 1) / SPS
    taps = np.exp(-2 * (np.pi * 0.3 * time) ** 2 / np.log(2))
    step = _filter(bits, taps / taps.sum())
    phase = np.cumsum(np.pi / 2 / SPS * step, 1)
    start = 2 * SPS + draws.integers("timing", 1, SPS)
    return np.exp(1j * np.take_along_axis(phase, start + np.arange(num_samples)[None, :], 1))


def impair(draws: Draws, wave: Waves) -> Waves:
    """Three Rayleigh paths, a carrier offset with random phase, and a clock offset (first order)."""
    frequency = np.fft.fftfreq(wave.shape[1])
    delay = np.abs(_SPREAD * draws.normal("delays", 3))
    delay[:, 0] = 0.0
    gains = draws.normal("paths", 6)
    gains = (gains[:, :3] + 1j * gains[:, 3:]) * np.exp(-delay / (2 * _SPREAD))
    response = (gains[:, :, None] * np.exp(-2j * np.pi * frequency * delay[:, :, None])).sum(1)
    wave = np.fft.ifft(np.fft.fft(wave, axis=1) * response, axis=1)
    time = np.arange(wave.shape[1])[None, :]
    wave = wave + _CLOCK * draws.normal("clock", 1) * time * np.gradient(wave, axis=1)
    return wave * np.exp(2j * np.pi * (_CARRIER * draws.normal("carrier", 1) * time + draws.uniform("phase", 1)))


def _shaped(draws: Draws, symbols: Complex128[np.ndarray, "n s"], num_samples: int) -> Waves:
    """Symbols under pulses whose roll-off is drawn for each frame."""
    spread = np.zeros((len(draws), symbols.shape[1] * SPS), np.complex128)
    spread[:, ::SPS] = symbols
    wave = np.empty((len(draws), spread.shape[1]), np.complex128)
    kind = draws.integers("roll_off", 1, len(_ROLL_OFFS))[:, 0]
    time = np.arange(-SPAN * SPS // 2, SPAN * SPS // 2 + 1) / SPS
    for number in np.unique(kind):
        rows = kind == number
        wave[rows] = _filter(spread[rows], root_raised_cosine(time, _ROLL_OFFS[number]))
    start = SPAN * SPS // 2 + draws.integers("timing", 1, SPS)
    return np.take_along_axis(wave, start + np.arange(num_samples)[None, :], 1)


def _filter(wave: np.ndarray, taps: Float64[np.ndarray, " f"]) -> np.ndarray:
    from scipy.signal import oaconvolve

    return oaconvolve(wave, taps[None, :], mode="same", axes=1)
