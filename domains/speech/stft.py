"""Short-time Fourier transform with a Hann window of 32 ms every 8 ms, and its inverse."""

import numpy as np
from jaxtyping import Complex64, Float32
from scipy.signal import istft as scipy_istft
from scipy.signal import stft as scipy_stft

_WINDOW_S = 0.032
_HOPS = 4  # in a window


def window_samples(sample_rate_hz: int) -> int:
    """Samples in a window: 256 at 8 kHz, always a multiple of four."""
    return _HOPS * max(1, round(_WINDOW_S * sample_rate_hz / _HOPS))


def hop_samples(sample_rate_hz: int) -> int:
    """Samples between windows: 64 at 8 kHz."""
    return window_samples(sample_rate_hz) // _HOPS


def stft(signals: Float32[np.ndarray, "*b t"], sample_rate_hz: int) -> Complex64[np.ndarray, "*b f n"]:
    """Spectra of frames centred at samples 0, hop, 2 hop, ...; silence is around the signal.

    Scaled so that a sine of amplitude one has a peak of 1/2.
    """
    size = window_samples(sample_rate_hz)
    # A signal shorter than a window would get a shorter window.
    room = max(0, size - signals.shape[-1])
    padded = np.pad(signals, [(0, 0)] * (signals.ndim - 1) + [(0, room)])
    spectra = scipy_stft(padded, window="hann", nperseg=size, noverlap=size - size // _HOPS)[2]
    return spectra.astype(np.complex64)


def istft(spectra: Complex64[np.ndarray, "*b f n"], sample_rate_hz: int, samples: int) -> Float32[np.ndarray, "*b t"]:
    """The signal of so many samples whose `stft` is nearest to the spectra; exactly the signal for its own."""
    size = window_samples(sample_rate_hz)
    signal = scipy_istft(spectra, window="hann", nperseg=size, noverlap=size - size // _HOPS)[1]
    return signal[..., :samples].astype(np.float32)
