"""Which voice of a window goes on which voice of the file so far."""

import numpy as np
from jaxtyping import Float32, Float64, Int64
from scipy.optimize import linear_sum_assignment

# Below this share of the loudest voice's mean power the overlap says little, and how the voices sound decides.
_HEARD = 1e-2
# Difference in sound [dB] that weighs as much as an overlap that agrees fully.
_DECISIVE_DB = 20.0


def match(
    running: Float32[np.ndarray, "k o"],
    new: Float32[np.ndarray, "k o"],
    distance_db: Float64[np.ndarray, "k k"],
    reference: float,
) -> Int64[np.ndarray, " k"]:
    """The order in which `new` goes on `running`: voice i of the file so far is new[order[i]].

    running, new: the samples that both have, which may be none. distance_db: how differently voice i so far and
    voice j of the window sound. reference: mean power of the file's loudest voice.

    Maximises the sum of w r - (1 - w) d / 20 dB over the pairs: r = 2 <a, b> / (|a|^2 + |b|^2) is 1 for equal samples
    and, unlike a correlation, small for a faint copy; w goes from 0 where both are silent in the overlap to 1.
    """
    agreement, weight = _agreement(running, new, reference)
    score = weight * agreement - (1 - weight) * distance_db / _DECISIVE_DB
    return linear_sum_assignment(score, maximize=True)[1].astype(np.int64)


def _agreement(
    running: Float32[np.ndarray, "k o"], new: Float32[np.ndarray, "k o"], reference: float
) -> tuple[Float64[np.ndarray, "k k"], Float64[np.ndarray, "k k"]]:
    """How far each pair agrees in the overlap, from -1 to 1, and how much that says, from 0 to 1."""
    a, b = running.astype(np.float64), new.astype(np.float64)
    energy = np.square(a).sum(1)[:, None] + np.square(b).sum(1)[None]
    agreement = np.divide(2 * a @ b.T, energy, out=np.zeros_like(energy), where=energy > 0)
    least = 2 * _HEARD * reference * max(1, running.shape[1])
    weight = np.divide(energy, energy + least, out=np.zeros_like(energy), where=energy > 0)
    return agreement, weight
