"""How many of a network's voices are really there: a network for k voices gives k, whoever speaks."""

import numpy as np
from jaxtyping import Bool, Float64

RANGE_DB = 20.0
COPY = 0.9


def present(
    products: Float64[np.ndarray, "k k"], range_db: float = RANGE_DB, copy: float = COPY
) -> Bool[np.ndarray, " k"]:
    """Which voices count: within `range_db` of the loudest, and no copy of a louder one that counts.

    products: <a, b> of every two voices over the whole file, which is all that the rule needs. A copy is what has a
    correlation |<a, b>| / (|a| |b|) of at least `copy`, whatever its scale and sign. Silence has no voices.
    One speaker shared out between two outputs, part by part, counts twice: so would two who take turns.
    """
    power = products.diagonal()
    counted = np.zeros(len(power), np.bool_)
    least = power.max(initial=0.0) * 10 ** (-range_db / 10)
    for voice in np.argsort(-power, kind="stable"):
        if power[voice] <= 0 or power[voice] < least:
            break
        louder = np.flatnonzero(counted)
        correlation = products[voice, louder] / np.sqrt(power[voice] * power[louder])
        counted[voice] = bool(np.all(np.abs(correlation) < copy))
    return counted
