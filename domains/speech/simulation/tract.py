"""The vocal tract: resonances that move, put on a signal frame by frame."""

import numpy as np
from jaxtyping import Complex64, Float32, Float64

from armillary.domains.speech.simulation.tracks import FRAME_S, Tracks

_FRAMES_A_WINDOW = 4  # Hann windows that overlap by three quarters add up to 2
_GLOTTIS_HZ = 90.0  # above it the flow's spectrum falls by 12 dB an octave


def filter_voice(
    source: Float64[np.ndarray, " t"], breath: Float64[np.ndarray, " t"], tracks: Tracks, tilt_hz: float,
    sample_rate_hz: int,
) -> Float64[np.ndarray, " t"]:  # fmt: skip
    """Pulses and breath noise through glottis, tract and lips. Cost: some ten complex numbers a frame and frequency."""
    size = _fft_size(sample_rate_hz)
    frequency_hz = np.fft.rfftfreq(size, 1 / sample_rate_hz).astype(np.float32)
    tract = _resonances(tracks, frequency_hz)
    pulse_spectrum = _frames(source, len(tract), sample_rate_hz) * _glottis(frequency_hz, tilt_hz)
    breath_spectrum = _frames(breath, len(tract), sample_rate_hz)
    return _overlapped((pulse_spectrum + breath_spectrum) * tract, len(source), sample_rate_hz)


def filter_noise(noise: Float64[np.ndarray, " t"], tracks: Tracks, sample_rate_hz: int) -> Float64[np.ndarray, " t"]:
    """Noise in the band of each frame: a bell over the frequency, falling by 1/e at one width from the centre."""
    size = _fft_size(sample_rate_hz)
    frequency_hz = np.fft.rfftfreq(size, 1 / sample_rate_hz).astype(np.float32)
    centre, width = (tracks.noise_band_hz[:, side, None].astype(np.float32) for side in (0, 1))
    band = np.exp(-np.square((frequency_hz - centre) / width))
    return _overlapped(_frames(noise, len(band), sample_rate_hz) * band, len(noise), sample_rate_hz)


def frame_samples(sample_rate_hz: int) -> int:
    """Samples between frames."""
    return round(FRAME_S * sample_rate_hz)


def _fft_size(sample_rate_hz: int) -> int:
    """Room for a window and for as long again, in which even a narrow resonance has faded."""
    return 2 * _FRAMES_A_WINDOW * frame_samples(sample_rate_hz)


def _resonances(tracks: Tracks, frequency_hz: Float32[np.ndarray, " f"]) -> Complex64[np.ndarray, "n f"]:
    """prod F^2 / (F^2 - f^2 + i f B): each formant as a resonator with gain 1 at frequency 0.

    References:
        Klatt 1980, "Software for a cascade/parallel formant synthesizer" (the cascade, in continuous time).
    """
    response = np.ones((len(tracks.pitch_hz), len(frequency_hz)), np.complex64)
    for formant, width in zip(tracks.formants_hz.T, tracks.widths_hz.T, strict=True):
        square = np.square(formant).astype(np.float32)[:, None]
        response *= square / (square - np.square(frequency_hz) + 1j * width.astype(np.float32)[:, None] * frequency_hz)
    return response


def _glottis(frequency_hz: Float32[np.ndarray, " f"], tilt_hz: float) -> Complex64[np.ndarray, " f"]:
    """Two poles of the glottis, the voice's own tilt of 9.5 dB, and the lips' rise by 6 dB an octave."""
    ratio = 1j * frequency_hz / _GLOTTIS_HZ
    tilt = (1 + 1j * frequency_hz / (3 * tilt_hz)) / (1 + 1j * frequency_hz / tilt_hz)
    return (ratio / np.square(1 + ratio) * tilt).astype(np.complex64)


def _frames(signal: Float64[np.ndarray, " t"], count: int, sample_rate_hz: int) -> Complex64[np.ndarray, "n f"]:
    """Spectra of windowed frames; frame i is centred on sample (i + 1/2) hop."""
    hop = frame_samples(sample_rate_hz)
    length = _FRAMES_A_WINDOW * hop
    padded = np.zeros((count + _FRAMES_A_WINDOW) * hop, np.float32)
    lead = _lead(hop)
    padded[lead : lead + len(signal)] = signal[: len(padded) - lead]
    windows = np.lib.stride_tricks.sliding_window_view(padded, length)[::hop][:count]
    window = np.hanning(length + 1)[:-1].astype(np.float32) / 2
    return np.fft.rfft(windows * window, _fft_size(sample_rate_hz)).astype(np.complex64)


def _overlapped(spectra: Complex64[np.ndarray, "n f"], length: int, sample_rate_hz: int) -> Float64[np.ndarray, " t"]:
    hop, size = frame_samples(sample_rate_hz), _fft_size(sample_rate_hz)
    frames = np.fft.irfft(spectra, size).reshape(len(spectra), -1, hop)
    out = np.zeros((len(spectra) + frames.shape[1], hop))
    for part in range(frames.shape[1]):
        out[part : part + len(spectra)] += frames[:, part]
    lead = _lead(hop)
    return out.ravel()[lead : lead + length]


def _lead(hop: int) -> int:
    """Samples of silence before the first, so that the first frame's middle is the middle of its hop."""
    return _FRAMES_A_WINDOW * hop // 2 - hop // 2
