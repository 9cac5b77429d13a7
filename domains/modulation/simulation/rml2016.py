"""Frames after the published RML2016.10a and 10b recipe, from transmitter to receiver, many at once.

Each frame is of a burst of its own, so none shares its channel with another; the published sets cut several frames of
a burst. Symbols are random bits and audio is synthetic, where those sets take a text and a broadcast.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Complex128, Float32, Float64, Int64, UInt64

from armillary.core.errors import ConfigError
from armillary.domains.modulation.classes import RML2016A as CLASSES_A
from armillary.domains.modulation.classes import RML2016B as CLASSES_B
from armillary.domains.modulation.simulation.by_class import by_class
from armillary.domains.modulation.simulation.channel import TAPS, propagate, white_noise
from armillary.domains.modulation.simulation.draws import Draws
from armillary.domains.modulation.simulation.transmitters import SAMPLE_RATE_HZ, transmit

Noise = Literal["historical", "calibrated"]
LENGTH = 128


@dataclass(frozen=True)
class Made:
    """Frames (n, 2, l) with sum |z| = 1 each, and the SNR [dB] measured in each frame (-inf where nothing is sent)."""

    iq: Float32[np.ndarray, "n 2 l"]
    measured_snr_db: Float32[np.ndarray, " n"]


class RML2016:
    """(place of the class, SNR label, seeds) -> frames; frame i depends on its own class, label and seed alone.

    noise 'historical': noise amplitude 10^(-label/10) as published, so that the SNR changes by 2 dB for each 1 dB of
    the label, and depends on the class and on the fading. 'calibrated': noise power so that the SNR of each frame is
    the label; AM-SSB, which sends nothing, has noise of unit power.

    Raises:
        ConfigError: another length than 128.
    """

    classes = CLASSES_A

    def __init__(self, noise: Noise, length: int = LENGTH) -> None:
        if length != LENGTH:
            raise ConfigError(f"data.length={length}: the generator of RML2016 makes frames of {LENGTH} samples.")
        self.noise: Noise = noise

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
            signal, noise = self._receive(name, Draws(seeds[rows]), snr_db[rows, None].astype(np.float64))
            power, floor = (np.abs(part) ** 2 for part in (signal, noise))
            with np.errstate(divide="ignore"):
                made.measured_snr_db[rows] = 10 * np.log10(power.mean(1) / floor.mean(1))
            received = signal + noise
            received = received / np.abs(received).sum(1, keepdims=True)
            made.iq[rows] = np.stack([received.real, received.imag], 1)
        return made

    def _receive(
        self, name: str, draws: Draws, snr_db: Float64[np.ndarray, "n 1"]
    ) -> tuple[Complex128[np.ndarray, "n t"], Complex128[np.ndarray, "n t"]]:
        """Signal and noise as they reach the receiver."""
        signal = propagate(draws, transmit(name, draws, LENGTH + TAPS - 1), SAMPLE_RATE_HZ)
        noise = white_noise(draws, LENGTH)
        if self.noise == "historical":
            return signal, noise * 10 ** (-snr_db / 10)
        power = (np.abs(signal) ** 2).mean(1, keepdims=True)
        floor = (np.abs(noise) ** 2).mean(1, keepdims=True)
        return signal, noise * np.sqrt(np.where(power > 0, power, 1.0) / floor * 10 ** (-snr_db / 10))


class RML2016A(RML2016):
    """The 11 classes of RML2016.10a."""


class RML2016B(RML2016):
    """The 10 classes of RML2016.10b."""

    classes = CLASSES_B
