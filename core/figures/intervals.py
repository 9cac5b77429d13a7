"""How sure a counted share is."""

import numpy as np
from jaxtyping import Float, Float64


def wilson(
    correct: Float[np.ndarray, " n"], count: Float[np.ndarray, " n"], z: float = 1.96
) -> tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, " n"]]:
    """Ends of the score interval of a binomial share; 95 % for the z given. Independent trials, count above 0.

    References:
        Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    rate = correct / count
    centre = (rate + z**2 / (2 * count)) / (1 + z**2 / count)
    reach = z / (1 + z**2 / count) * np.sqrt(rate * (1 - rate) / count + z**2 / (4 * count**2))
    return centre - reach, centre + reach
