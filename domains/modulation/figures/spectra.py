"""Power spectra of stretches of samples."""

import numpy as np
from jaxtyping import Complex64, Float32, Float64

BINS = 256  # of a spectrum at most


def complex_samples(iq: Float32[np.ndarray, "*m 2 l"]) -> Complex64[np.ndarray, "*m l"]:
    """I + iQ."""
    return iq[..., 0, :] + np.complex64(1j) * iq[..., 1, :]


def segment_length(length: int) -> int:
    """Samples in a segment of a frame of `length`: the frame's own, `BINS` at most."""
    return min(length, BINS)


def segment_powers(iq: Float32[np.ndarray, "*m 2 l"]) -> Float64[np.ndarray, "*m s bins"]:
    """|FFT|^2 of each whole segment under a Hann window, from the lowest frequency up.

    A rest shorter than a segment is left out.
    """
    bins = segment_length(iq.shape[-1])
    count = iq.shape[-1] // bins
    z = complex_samples(iq[..., : count * bins])
    windowed = z.reshape(*z.shape[:-1], count, bins) * np.hanning(bins + 2)[1:-1]
    spectra = np.fft.fftshift(np.fft.fft(windowed), axes=-1)
    return spectra.real.astype(np.float64) ** 2 + spectra.imag.astype(np.float64) ** 2


def frequencies(bins: int) -> Float64[np.ndarray, " bins"]:
    """Frequency of each bin [cycles per sample], rising."""
    return np.fft.fftshift(np.fft.fftfreq(bins))
