"""Which windows of a recording hold a burst, by energy, by structure or by either."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64

from armillary.domains.modulation.detection.cyclic import cyclic_statistic, cyclic_threshold
from armillary.domains.modulation.detection.energy import energy_threshold, estimate_noise, window_energy
from armillary.domains.modulation.settings import ModulationPredict


@dataclass(frozen=True)
class Detection:
    """What was found in n windows: energy over that of the noise [dB], -inf for zeros; the cyclic statistic; bursts."""

    detected: Bool[np.ndarray, " n"]
    energy_db: Float64[np.ndarray, " n"]
    cyclic: Float64[np.ndarray, " n"]


def detect(
    iq: Float32[np.ndarray, "n 2 l"], settings: ModulationPredict, noise_power: float | None = None
) -> Detection:
    """Windows that noise alone would resemble with a chance of settings.false_alarm at most.

    The noise power is `noise_power`, else settings.noise_power, else estimated from the quietest of these windows: in
    a stream each chunk estimates its own, so that a chunk which is all burst shows none to the energy detector. 'both'
    fires when either detector does, each at half the chance. 'none' takes every window for a burst.

    Both take the noise for white over the band that was sampled. Neither suits receiver audio: an FM discriminator is
    quieter in bursts than in noise, so that energy picks the noise, and structure fires in every window.
    """
    length = iq.shape[2]
    noise = noise_power or settings.noise_power or estimate_noise(iq)
    ratio = window_energy(iq) / (length * (noise or 1.0))
    structure = cyclic_statistic(iq)
    chance = settings.false_alarm / 2 if settings.detect == "both" else settings.false_alarm
    fired = np.full(len(iq), settings.detect == "none", np.bool_)
    if settings.detect in ("energy", "both"):
        fired |= ratio * length > energy_threshold(length, chance)
    if settings.detect in ("cyclic", "both"):
        fired |= structure > cyclic_threshold(length, chance)
    with np.errstate(divide="ignore"):
        return Detection(fired, 10 * np.log10(ratio), structure)
