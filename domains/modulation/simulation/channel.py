"""The channel of the 2016 recipe: drifting clock and carrier, three fading paths, white noise.

Over a frame of 128 samples (0.64 ms) the walks of clock and carrier and the fading (1 Hz Doppler) hardly move, so that
each frame has the values that they have reached at its place in the burst: a constant carrier offset, a constant clock
offset with the delay that it has gathered, and constant taps. What moves within the frame is below 0.005 rad.

References:
    O'Shea and West 2016, "Radio machine learning dataset generation with GNU Radio" (settings).
    Alimohammad and Fard et al. 2009, "Compact Rayleigh and Rician fading simulator" (sums of sinusoids).
"""

import numpy as np
from jaxtyping import Complex128, Float64

from armillary.domains.modulation.simulation.draws import Draws

SINUSOIDS = 8
RICIAN_K = 4.0
DELAYS = (0.0, 0.9, 1.7)  # [samples]
MAGNITUDES = (1.0, 0.8, 0.3)
TAPS = 8
WALK_HZ = 0.01  # standard deviation of a step of both walks, once a sample
CLOCK_LIMIT_HZ, CARRIER_LIMIT_HZ = 50.0, 500.0
FIRST, LAST = 178.0, 6000.0  # samples into the burst at which frames begin

Waves = Complex128[np.ndarray, "n t"]


def propagate(draws: Draws, wave: Complex128[np.ndarray, "n s"], sample_rate_hz: float) -> Waves:
    """The wave behind clock, carrier and fading; TAPS - 1 samples shorter."""
    place = draws.uniform("place", 1, FIRST, LAST)
    wave = drift_clock(draws, wave, place, sample_rate_hz)
    wave = drift_carrier(draws, wave, place, sample_rate_hz)
    taps = fading_taps(draws)
    length = wave.shape[1] - TAPS + 1
    return sum((taps[:, k, None] * wave[:, TAPS - 1 - k : TAPS - 1 - k + length] for k in range(TAPS)), np.zeros(1))


def drift_clock(draws: Draws, wave: Waves, place: Float64[np.ndarray, "n 1"], sample_rate_hz: float) -> Waves:
    """Resampled at the rate that the walk has reached, after the delay it has gathered (first order: both are tiny)."""
    walk = WALK_HZ * np.sqrt(place) * draws.normal("clock", 2)
    rate = np.clip(walk[:, :1], -CLOCK_LIMIT_HZ, CLOCK_LIMIT_HZ) / sample_rate_hz
    # The integral of a walk of n steps has variance n^3 / 3, of which 3/4 go with where the walk ends.
    gathered = place * (walk[:, :1] / 2 + walk[:, 1:] / np.sqrt(12)) / sample_rate_hz
    delay = gathered + rate * np.arange(wave.shape[1])[None, :]
    return wave + delay * np.gradient(wave, axis=1)


def drift_carrier(draws: Draws, wave: Waves, place: Float64[np.ndarray, "n 1"], sample_rate_hz: float) -> Waves:
    """Turned at the frequency that the walk has reached."""
    walk = WALK_HZ * np.sqrt(place) * draws.normal("carrier", 1)
    offset = np.clip(walk, -CARRIER_LIMIT_HZ, CARRIER_LIMIT_HZ) / sample_rate_hz
    return wave * np.exp(2j * np.pi * offset * np.arange(wave.shape[1])[None, :])


def fading_taps(draws: Draws) -> Complex128[np.ndarray, "n taps"]:
    """Three paths at fractional delays: the first with a line of sight (Rician), the others without (Rayleigh)."""
    angles = 2 * np.pi * draws.uniform("fading", len(DELAYS) * 2 * SINUSOIDS).reshape(len(draws), -1, 2, SINUSOIDS)
    paths = (np.cos(angles[:, :, 0]).sum(2) + 1j * np.sin(angles[:, :, 1]).sum(2)) / np.sqrt(SINUSOIDS)
    sight = np.exp(2j * np.pi * draws.uniform("sight", 1)[:, 0])
    paths[:, 0] = np.sqrt(RICIAN_K / (RICIAN_K + 1)) * sight + paths[:, 0] / np.sqrt(RICIAN_K + 1)
    spread = np.sinc(np.arange(TAPS)[None, :] - np.array(DELAYS)[:, None])
    return paths @ (np.array(MAGNITUDES)[:, None] * spread).astype(np.complex128)


def white_noise(draws: Draws, num_samples: int) -> Waves:
    """Complex Gaussian noise of unit power."""
    parts = draws.normal("noise", 2 * num_samples)
    return (parts[:, :num_samples] + 1j * parts[:, num_samples:]) / np.sqrt(2)
