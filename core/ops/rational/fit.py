"""Initial coefficients of the rational activation, fitted under form A in float64; see coefficients.py for the results.

Odd powers are held near zero in the denominator: Q is then smooth at 0, forms A and B give the same function within
2e-4, and P / Q can hold the odd part of GELU, SiLU and ReLU, which is x / 2, exactly.
"""

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float64
from numpy import ndarray
from scipy.optimize import least_squares
from scipy.special import expit, ndtr

from armillary.core.ops.rational.coefficients import Coefficients

HALF_WIDTH = 5.0  # fits hold on [-5, 5]
ALIVE = 1e-6  # a b_j of exactly 0 has slope 0 under form A and would never move; this one does, and changes little
Values = Float64[ndarray, " n"]

TARGETS: Mapping[str, Callable[[Values], Values]] = {
    "identity": lambda x: x,
    "gelu": lambda x: x * ndtr(x),
    "silu": lambda x: x * expit(x),
    "relu": lambda x: np.maximum(x, 0.0),
}


def fit(name: str) -> Coefficients:
    """Least squares over 2001 Chebyshev points of [-5, 5]; the numerator is solved for inside.

    The identity is x Q(x) / Q(x) for any even Q. It takes one that grows, which keeps the slopes x^i / Q of the
    numerator's coefficients below a few hundred where Q = 1 would give thousands.
    """
    target = TARGETS[name]
    x = HALF_WIDTH * np.cos(np.pi * (np.arange(2001) + 0.5) / 2001)
    start = np.array([0.1, 0.01])
    b = _denominator(start if name == "identity" else _fitted(x, target(x), start))
    a = _numerator(x, target(x), b)
    fine = np.linspace(-HALF_WIDTH, HALF_WIDTH, 20001)
    error = np.abs(quotient(fine, a, b) - target(fine)).max()
    return Coefficients(tuple(map(float, a)), tuple(map(float, b)), float(error))


def quotient(x: Values, numerator: Float64[ndarray, " 6"], denominator: Float64[ndarray, " 4"]) -> Values:
    """P(x) / Q(x) of form A in float64."""
    return np.vander(x, 6, increasing=True) @ numerator / _below(x, denominator)


def _fitted(x: Values, y: Values, start: Float64[ndarray, " 2"]) -> Float64[ndarray, " 2"]:
    """The coefficients of x² and x⁴ in Q."""

    def residual(even: Float64[ndarray, " 2"]) -> Values:
        b = _denominator(even)
        return quotient(x, _numerator(x, y, b), b) - y

    tight = float(np.finfo(np.float64).eps)
    return np.abs(least_squares(residual, start, xtol=tight, ftol=tight, gtol=tight).x)


def _denominator(even: Float64[ndarray, " 2"]) -> Float64[ndarray, " 4"]:
    return np.array([ALIVE, even[0], ALIVE, even[1]])


def _numerator(x: Values, y: Values, denominator: Float64[ndarray, " 4"]) -> Float64[ndarray, " 6"]:
    terms = np.vander(x, 6, increasing=True) / _below(x, denominator)[:, None]
    return np.linalg.lstsq(terms, y, rcond=None)[0]


def _below(x: Values, denominator: Float64[ndarray, " 4"]) -> Values:
    return 1 + np.vander(np.abs(x), 5, increasing=True)[:, 1:] @ np.abs(denominator)
