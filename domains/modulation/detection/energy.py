"""Detection by energy: the sum of |z|^2 over l samples of white complex Gaussian noise follows a Gamma law.

A recording of an FM discriminator is louder in noise than in bursts, so that energy picks the noise there. Noise that
a filter has narrowed varies more from window to window than the law says, and raises more false alarms than asked for.
"""

import numpy as np
from jaxtyping import Float32, Float64
from scipy.stats import gamma

Windows = Float32[np.ndarray, "n 2 l"]
_QUIET = 0.1  # level of the order statistic: noise in a fifth of the windows is enough


def window_energy(iq: Windows) -> Float64[np.ndarray, " n"]:
    """Sum of |z|^2 over each window."""
    return np.einsum("nrl,nrl->n", iq, iq, dtype=np.float64)


def energy_threshold(length: int, chance: float) -> float:
    """The energy over the noise power that a window of `length` samples of noise exceeds with `chance`.

    Noise of power s has energy s G, with G of the Gamma law of shape `length` and scale 1.

    References:
        Urkowitz 1967, "Energy detection of unknown deterministic signals" (the same law, as chi-square).
    """
    return float(gamma.isf(chance, length))


def estimate_noise(iq: Windows) -> float:
    """Mean |z|^2 of the noise, from one of the quietest windows, at the level of a tenth.

    Its energy over the Gamma law's quantile at that level: right in the median when all windows are noise, 0.2 to
    0.3 dB too high at 128 samples when 60 % hold bursts. Windows of zeros do not count; no others give 0. One window
    alone counts as noise. Of 50 windows of 128 samples, what was asked for as 0.1 % of false alarms becomes 0.13 %, of
    10 windows 1 %.
    """
    energy = window_energy(iq)
    energy = np.sort(energy[energy > 0])
    if not len(energy):
        return 0.0
    rank = max(1, round(_QUIET * (len(energy) + 1)))
    return float(energy[rank - 1] / gamma.ppf(rank / (len(energy) + 1), iq.shape[2]))
