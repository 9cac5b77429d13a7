"""The level of separated voices: networks trained on a scale-invariant score leave it open, the mixture settles it."""

import numpy as np
from jaxtyping import Float32

# A window whose voices explain this share of the mixture's usual energy sets its gain by itself alone.
_ENOUGH = 0.1


class WindowGain:
    """g = G (f / G)^c: one factor for all voices of a window, from their sum y and the mixture x alone.

    f = <x, y> / <y, y> is the least squares fit of the sum to the mixture and G the gain of the window before. In a
    pause a fit is mostly noise: c is 1 where the fit explains at least a tenth of the mixture's mean energy so far,
    and falls to 0 with what it explains. A file of one window, and nearly all windows of others, have g = f.
    Where nothing was heard yet, or a fit is not above 0, the gain stays what it was, at first 1. Levels of voices to
    each other stay as they are.
    """

    def __init__(self) -> None:
        self._gain: float | None = None
        self._energy = 0.0  # of the mixture so far
        self._count = 0

    def __call__(self, estimate: Float32[np.ndarray, "k n"], mixture: Float32[np.ndarray, " n"]) -> float:
        """The factor of the next window of a file."""
        x, y = mixture.astype(np.float64), estimate.sum(0, dtype=np.float64)
        shared, energy = float(x @ y), float(y @ y)
        self._energy += float(x @ x)
        self._count += len(x)
        if shared > 0 and energy > 0:
            fit = shared / energy
            usual = self._energy / self._count * len(x)
            trust = min(1.0, fit * shared / (_ENOUGH * usual))
            self._gain = fit if self._gain is None else self._gain * (fit / self._gain) ** trust
        return 1.0 if self._gain is None else self._gain
