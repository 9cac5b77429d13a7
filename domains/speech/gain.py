"""The level of separated voices: networks trained on a scale-invariant score leave it open, the mixture settles it."""

import numpy as np
from jaxtyping import Float32

# A window's own samples weigh as much as what came before when its voices have a tenth of their usual energy.
_TRUST = 0.1


class WindowGain:
    """g = (<x, y> + r G) / (<y, y> + r): one factor for all voices of a window, whose sum is y and mixture x.

    Without r it is the least squares fit of the sum to the mixture. G is the gain of the window before and r a tenth
    of the mean energy of y so far, so that a pause, where a fit is mostly noise, keeps the gain that speech had. The
    first window has no r; as long as nothing was heard the gain is 1. Levels of voices to each other stay as they are.
    """

    def __init__(self) -> None:
        self._gain: float | None = None
        self._energy = 0.0  # of y so far
        self._count = 0

    def __call__(self, estimate: Float32[np.ndarray, "k n"], mixture: Float32[np.ndarray, " n"]) -> float:
        """The factor of the next window of a file."""
        total = estimate.sum(0, dtype=np.float64)
        fit, energy = float(total @ mixture.astype(np.float64)), float(total @ total)
        self._energy += energy
        self._count += len(mixture)
        if self._gain is None:
            if energy > 0:
                self._gain = fit / energy
        else:
            ridge = _TRUST * self._energy / self._count * len(mixture)
            self._gain = (fit + ridge * self._gain) / (energy + ridge)
        return 1.0 if self._gain is None else self._gain


class RunningGain:
    """g = <x, y> / <y, y> over the latest seconds, for a stream: what was heard t seconds ago weighs exp(-t / memory).

    Causal, so it settles within the first words; as long as nothing was heard it is 1.
    """

    def __init__(self, rate_hz: float, memory_s: float = 4.0) -> None:
        self._decay = 1 / (memory_s * rate_hz)  # a sample
        self._fit = self._energy = 0.0

    def __call__(self, estimate: Float32[np.ndarray, "k n"], mixture: Float32[np.ndarray, " n"]) -> float:
        """The factor after these samples."""
        total = estimate.sum(0, dtype=np.float64)
        kept = float(np.exp(-len(mixture) * self._decay))
        self._fit = kept * self._fit + float(total @ mixture.astype(np.float64))
        self._energy = kept * self._energy + float(total @ total)
        return self._fit / self._energy if self._energy > 0 else 1.0
