"""Short-time objective intelligibility."""

import warnings

import numpy as np
import pystoi
from jaxtyping import Float, Float32, Int
from torch import Tensor

from armillary.domains.speech.metrics.each_voice import each_voice

_RATE_HZ = 10_000  # at which the measure is defined
_SHORTEST = 256 + 29 * 128  # samples at that rate of the 30 frames that one value needs


def stoi(
    estimates: Float[Tensor, "b k t"],
    sources: Float[Tensor, "b k t"],
    length: Int[Tensor, " b"] | None,
    sample_rate_hz: int,
) -> Float[Tensor, "b k"]:
    """Mean correlation of band envelopes over 384 ms, between -1 and 1; higher is more intelligible, 1 is the source.

    Signals are resampled to 10 kHz; frames where the source is 40 dB below its loudest are left out. NaN where fewer
    than 30 frames (0.4 s) remain.

    References:
        Taal, Hendriks, Heusdens and Jensen 2011, "An algorithm for intelligibility prediction of time-frequency
        weighted noisy speech".
    """

    def score(source: Float32[np.ndarray, " t"], estimate: Float32[np.ndarray, " t"]) -> float:
        if len(source) * _RATE_HZ < _SHORTEST * sample_rate_hz:
            return float("nan")
        with warnings.catch_warnings():
            # Its only word for too few frames.
            warnings.simplefilter("error", RuntimeWarning)
            try:
                return float(pystoi.stoi(source, estimate, sample_rate_hz))
            except RuntimeWarning:
                return float("nan")

    return each_voice(score, estimates, sources, length)
