"""Masks made from the voices themselves: not methods, but marks of how far a mask on such spectra could get."""

from typing import Literal

import numpy as np
import xarray as xr
from jaxtyping import Complex64, Float32

from armillary.core.domain import Item, Items
from armillary.domains.speech.baselines.judge import judge
from armillary.domains.speech.settings import SpeechRun
from armillary.domains.speech.stft import istft, stft

Mask = Literal["ratio", "binary"]


class OracleBaseline:
    """An ideal mask on the mixture's spectra, from the voices that are to be found.

    Upper references for what masks real spectra and keeps the mixture's phase; learned encoders may do better.
    """

    def __init__(self, config: SpeechRun, mask: Mask) -> None:
        self.config = config
        self.mask: Mask = mask

    def fit(self, train: Items, validation: Items) -> None:
        """Nothing to learn: it knows."""

    def predict(self, items: Items) -> xr.Dataset:
        """Records of the masked mixtures."""
        return judge(self.config, items, self._separate)

    def _separate(self, item: Item) -> Float32[np.ndarray, "k t"]:
        rate = self.config.data.sample_rate_hz
        mixture, sources = stft(item["mixture"], rate), stft(item["sources"], rate)
        return istft(masks(sources, mixture, self.mask) * mixture, rate, len(item["mixture"]))


def masks(
    sources: Complex64[np.ndarray, "k f n"], mixture: Complex64[np.ndarray, "f n"], kind: Mask
) -> Float32[np.ndarray, "k f n"]:
    """ratio: |S_i| / (sum_j |S_j| + |N|); binary: 1 where |S_i| is the largest of all.

    N is what else is in the mixture. Where nothing is heard all masks are 0 (ratio) or the first voice has it (binary).

    References:
        Wang 2005, "On ideal binary mask as the computational goal of auditory scene analysis"; Srinivasan, Roman and
        Wang 2006, "Binary and ratio time-frequency masks for robust speech recognition".
    """
    size = np.abs(np.concatenate([sources, (mixture - sources.sum(0))[None]]))
    if kind == "binary":
        return (size.argmax(0) == np.arange(len(sources))[:, None, None]).astype(np.float32)
    return size[:-1] / np.maximum(size.sum(0), np.finfo(np.float32).tiny)
