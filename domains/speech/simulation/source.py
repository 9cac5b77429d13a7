"""What drives the tract: pulses of the glottis without aliasing, each a little early, late, high or low."""

import numpy as np
from jaxtyping import Float64

_TAPS = np.arange(-7, 9)  # samples of a pulse that falls between two samples


def pulses(
    pitch_hz: Float64[np.ndarray, " t"],
    height: Float64[np.ndarray, " t"],
    jitter: float,
    shimmer: float,
    sample_rate_hz: int,
    rng: np.random.Generator,
) -> Float64[np.ndarray, " t"]:
    """A train of band-limited unit impulses at the pitch, times `height` and the root of the period.

    With the root of the period its power does not depend on the pitch. jitter, shimmer: standard deviations of the
    time between pulses and of their heights, as shares.
    """
    out = np.zeros(len(pitch_hz))
    phase = np.cumsum(pitch_hz / sample_rate_hz)
    count = int(phase[-1]) if len(phase) else 0
    places = np.interp(np.arange(1, count + 1), phase, np.arange(len(phase)))
    near = places.astype(np.int64)
    period = sample_rate_hz / pitch_hz[near]
    heights = height[near] * np.sqrt(period) * (1 + shimmer * rng.standard_normal(count))
    places = places + jitter * period * rng.standard_normal(count)
    sounding = heights > 0
    return _placed(out, places[sounding], heights[sounding])


def _placed(
    out: Float64[np.ndarray, " t"], places: Float64[np.ndarray, " p"], heights: Float64[np.ndarray, " p"]
) -> Float64[np.ndarray, " t"]:
    first = np.floor(places).astype(np.int64)
    away = _TAPS[None, :] - (places - first)[:, None]
    shape = np.sinc(away) * np.cos(np.pi * away / 18) ** 2
    where = first[:, None] + _TAPS[None, :]
    inside = (where >= 0) & (where < len(out))
    weights = (shape * heights[:, None])[inside]
    return out + np.bincount(where[inside], weights, minlength=len(out))[: len(out)]
