"""What two kinds of receiver make of a transmission: the FM discriminator and the single-sideband mixer, at 48 kHz."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Complex128, Float64
from scipy.special import expit

from armillary.core.random import item_normal
from armillary.domains.modulation.simulation.receiver_symbols import RATE_HZ, Draws

# The response at frequencies [Hz] of each sign.
Response = Callable[[Float64[np.ndarray, " f"]], np.ndarray]
Column = Float64[np.ndarray, "n 1"]
Rows = Float64[np.ndarray, "n t"]


def fm_receive(
    draws: Draws, deviation_hz: Rows, bandwidth_hz: Column, highest_hz: Column, snr_db: Column, carrier: Rows
) -> tuple[Rows, Float64[np.ndarray, " n"]]:
    """Audio of an FM receiver and the measured SNR [dB] before its discriminator, in a band of bandwidth_hz [Hz].

    carrier * exp(j 2 pi sum (deviation + offset) / rate) + noise -> intermediate filter -> angle of z[n] conj z[n-1] ->
    high-pass and low-pass. Noise that is small against the carrier comes out with a spectrum that grows as the square
    of the frequency; more of it makes clicks. The carrier's offset becomes a constant that the high-pass removes. The
    low-pass lets at least highest_hz [Hz] through.
    """
    num_samples = deviation_hz.shape[1]
    offset = draws.uniform("offset", -1500.0, 1500.0)
    turn = np.cumsum((deviation_hz + offset) / RATE_HZ, 1) + draws.uniform("phase")
    signal = carrier * _fading(draws, num_samples) * np.exp(2j * np.pi * turn)
    noise, measured = _noise(draws, signal, carrier, bandwidth_hz, snr_db)
    half = np.maximum(0.5 * bandwidth_hz, draws.log_uniform("intermediate", 6e3, 22e3)) + np.abs(offset)
    received = _filter(signal + noise, _low_pass(half, draws.choice("intermediate order", (2.0, 4.0, 8.0))))
    step = np.angle(received[:, 1:] * received[:, :-1].conj()) / np.pi
    audio = np.concatenate([step[:, :1], step], 1)
    cutoff = np.maximum(draws.log_uniform("audio", 1.8e3, 30e3), highest_hz)
    order = draws.choice("audio order", (1.0, 2.0, 4.0, 8.0, 24.0))
    lowest = draws.log_uniform("high-pass", 5.0, 120.0)
    return np.real(_filter(audio.astype(np.complex128), _low_pass(cutoff, order), _high_pass(lowest))), measured


def ssb_receive(
    draws: Draws,
    baseband: Rows,
    carrier_hz: Column,
    bandwidth_hz: Column,
    snr_db: Column,
    carrier: Rows,
    wide: Bool[np.ndarray, "n 1"],
) -> tuple[Rows, Float64[np.ndarray, " n"]]:
    """Audio of a single-sideband receiver, Re(baseband exp(j 2 pi f t)) in noise, and the measured SNR [dB].

    The passband reaches from some 100 Hz to 2.7 to 8 kHz, or with `wide` from 1 kHz to near 24 kHz. The carrier drifts
    with the satellite's Doppler shift, by up to 100 Hz a second. Some narrow receivers limit what they amplify.
    """
    num_samples = baseband.shape[1]
    time = np.arange(num_samples) / RATE_HZ
    turn = carrier_hz * time + 0.5 * draws.uniform("drift", -100.0, 100.0) * time**2 + draws.uniform("phase")
    signal = carrier * _fading(draws, num_samples) * baseband * np.exp(2j * np.pi * turn)
    noise, measured = _noise(draws, signal, carrier, bandwidth_hz, snr_db)
    lowest = np.where(wide, draws.uniform("lowest", 300.0, 1500.0), draws.uniform("lowest", 20.0, 400.0))
    highest = np.where(wide, draws.uniform("highest", 22.0e3, 23.8e3), draws.log_uniform("highest", 2.7e3, 8e3))
    steep = draws.uniform("steep", 40.0, 300.0)
    audio = np.real(_filter(signal + noise, _band(lowest, highest, steep)))
    return np.where(wide, audio, _limit(draws, audio, highest, steep)), measured


def finish(draws: Draws, audio: Rows) -> Rows:
    """Slow gain, saturation and 16-bit samples: what is left in a file.

    A third of the recordings saturate, between 1 and 3 times their root mean square; the others lie 6 to 40 dB below
    full scale.
    """
    num_samples = audio.shape[1]
    gain = 10 ** (draws.uniform("gain", -2.0, 2.0) * np.linspace(-0.5, 0.5, num_samples) / 20)
    audio = audio * gain / np.maximum(np.sqrt(np.square(audio).mean(1, keepdims=True)), 1e-12)
    loud = draws.chance("loud", 0.33)
    level = np.where(loud, 1 / draws.uniform("saturation", 1.0, 3.0), 10 ** (-draws.uniform("level", 6.0, 40.0) / 20))
    return np.rint(np.clip(audio * level, -1.0, 1.0) * 32767) / 32768


def _filter(samples: Complex128[np.ndarray, "n t"], *responses: Response) -> Complex128[np.ndarray, "n t"]:
    """The product of the responses on samples that are taken as periodic: their ends are of no use."""
    frequency = np.fft.fftfreq(samples.shape[1], 1 / RATE_HZ)
    spectrum = np.fft.fft(samples, axis=1)
    for response in responses:
        spectrum *= response(frequency)
    return np.fft.ifft(spectrum, axis=1)


def _low_pass(cutoff: Column, order: Column) -> Response:
    """The magnitude of a Butterworth filter, without its phase."""
    return lambda f: 1 / np.sqrt(1 + (np.abs(f) / cutoff) ** (2 * order))


def _high_pass(cutoff: Column) -> Response:
    """A capacitor in series: j f / (j f + cutoff)."""
    return lambda f: 1j * f / (1j * f + cutoff)


def _band(lowest: Column, highest: Column, steep: Column) -> Response:
    """Positive frequencies from lowest to highest, with slopes some `steep` Hz wide."""
    return lambda f: expit((f - lowest) / steep) * expit((highest - f) / steep)


def _limit(draws: Draws, audio: Rows, highest: Column, steep: Column) -> Rows:
    """In half of the frames tanh(gain x), low-passed: an amplifier that is driven too hard turns a tone square."""
    scale = np.maximum(np.sqrt(np.square(audio).mean(1, keepdims=True)), 1e-12)
    limited = np.tanh(draws.log_uniform("drive", 0.5, 6.0) * audio / scale)
    limited = np.real(_filter(limited.astype(np.complex128), lambda f: expit((highest - np.abs(f)) / steep)))
    return np.where(draws.chance("limit", 0.5), limited, audio)


def _fading(draws: Draws, num_samples: int) -> Rows:
    """A slow change of amplitude by up to 3 dB over the frame, as of a tumbling satellite."""
    return 10 ** (draws.uniform("fading", -3.0, 3.0) * np.linspace(-0.5, 0.5, num_samples) / 20)


def _noise(
    draws: Draws, signal: Complex128[np.ndarray, "n t"], carrier: Rows, bandwidth_hz: Column, snr_db: Column
) -> tuple[Complex128[np.ndarray, "n t"], Float64[np.ndarray, " n"]]:
    """White noise whose power in bandwidth_hz lies snr_db [dB] below the signal's while it is on; and the SNR of it."""
    parts = item_normal(draws.seeds, "noise", 2 * signal.shape[1]).reshape(len(signal), 2, -1)
    unit = (parts[:, 0] + 1j * parts[:, 1]) * np.sqrt(0.5)
    power = np.square(np.abs(signal)).sum(1, keepdims=True) / np.maximum((carrier > 0).sum(1, keepdims=True), 1)
    power = np.maximum(power, 1e-12)
    noise = unit * np.sqrt(power * RATE_HZ / bandwidth_hz) * 10 ** (-snr_db / 20)
    inside = np.square(np.abs(noise)).mean(1, keepdims=True) * bandwidth_hz / RATE_HZ
    return noise, 10 * np.log10(power / inside)[:, 0]
