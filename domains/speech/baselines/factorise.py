"""Voices by factorising the mixture's spectra, blindly: nothing is learned from other recordings."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64
from scipy.fft import dct
from sklearn.cluster import KMeans
from sklearn.decomposition import NMF

from armillary.core.domain import Item
from armillary.core.random import derive_seed
from armillary.domains.speech.settings import SpeechRun
from armillary.domains.speech.stft import istft, stft

PARTS = 12  # spectra a voice
_STEPS = 60
_BANDS, _CEPSTRA = 24, 12
_QUIET = 1e-5  # of the loudest place: added everywhere, so that logarithms and updates stay defined


@dataclass(frozen=True)
class Factorise:
    """Non-negative factorisation of |STFT| into 12 spectra a voice, sorted into voices by their envelopes.

    Spectra of one voice come from one vocal tract, so that they are grouped by their mel cepstra 1 to 12 (the level, 0,
    left out) with k-means. Each voice is the mixture under the mask of its share of the model.

    References:
        Lee and Seung 2001, "Algorithms for non-negative matrix factorization" (Kullback-Leibler); Spiertz and Gnann
        2009, "Source-filter based clustering for monaural blind source separation".
    """

    config: SpeechRun

    def __call__(self, item: Item) -> Float32[np.ndarray, "k t"]:
        """The voices of a mixture; equal shares of a silent one, or of one with fewer frames than spectra."""
        mixture, rate, voices = item["mixture"], self.config.data.sample_rate_hz, self.config.data.voices
        spectra = stft(mixture, rate)
        size = np.abs(spectra).T.astype(np.float64)
        if size.max() == 0 or len(size) < voices * PARTS:
            return np.tile(mixture / voices, (voices, 1)).astype(np.float32)
        seed = derive_seed(self.config.seed, "baseline", "factorise", int(item["index"])) % 2**31
        when, parts = _factors(size / size.max() + _QUIET, voices * PARTS, seed)
        cepstra = _cepstra(parts, rate)
        # Pyright takes the types of defaults for those of parameters.
        clusters = KMeans(voices, n_init=10, random_state=seed)  # pyright: ignore[reportArgumentType]
        voice = clusters.fit(cepstra).labels_
        models = np.stack([(when[:, voice == v] @ parts[voice == v]).T for v in range(voices)])
        masks = (models / models.sum(0)).astype(np.float32)
        return istft(masks * spectra, rate, len(mixture))


def _factors(
    size: Float64[np.ndarray, "n f"], parts: int, seed: int
) -> tuple[Float64[np.ndarray, "n p"], Float64[np.ndarray, "p f"]]:
    """When and what, whose product is near to the sizes."""
    model = NMF(
        parts,  # pyright: ignore[reportArgumentType]
        init="random",
        solver="mu",
        beta_loss="kullback-leibler",
        max_iter=_STEPS,
        tol=0.0,
        random_state=seed,
    )
    when = model.fit_transform(size)
    return when, np.maximum(model.components_, np.finfo(np.float64).tiny)


def _cepstra(parts: Float64[np.ndarray, "p f"], sample_rate_hz: int) -> Float64[np.ndarray, "p c"]:
    """Cosine transform of log mel bands: the envelope of each spectrum, without its level and its pitch."""
    bands = parts / parts.max(1, keepdims=True) @ _mel_bands(parts.shape[1], sample_rate_hz)
    cepstra = np.asarray(dct(np.log(bands + _QUIET), norm="ortho"))
    return cepstra[:, 1 : _CEPSTRA + 1]


def _mel_bands(lines: int, sample_rate_hz: int) -> Float64[np.ndarray, "f b"]:
    """Triangles evenly spaced on the mel scale, 2595 log10(1 + f / 700), from 60 Hz on."""
    low, high = (2595 * np.log10(1 + edge / 700) for edge in (60.0, sample_rate_hz / 2))
    edges = 700 * (10 ** (np.linspace(low, high, _BANDS + 2) / 2595) - 1)
    frequency = np.linspace(0, sample_rate_hz / 2, lines)[:, None]
    rising = (frequency - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - frequency) / (edges[2:] - edges[1:-1])
    return np.maximum(np.minimum(rising, falling), 0.0)
