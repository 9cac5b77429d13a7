"""Higher-order cumulants, which tell constellations apart."""

import numpy as np
from jaxtyping import Complex128, Float64

Waves = Complex128[np.ndarray, "n l"]
NAMES = ("c20", "c40", "c41", "c42", "c60", "c61", "c62", "c63")


def cumulants(wave: Waves) -> Float64[np.ndarray, "n f"]:
    """Magnitudes of C20, C40, C41, C42, C60 to C63 of frames of unit power, as of zero-mean symbols.

    Turning the carrier changes none of them.

    References:
        Swami and Sadler 2000, "Hierarchical digital modulation classification using cumulants", eqs. 2 to 5.
    """
    conj = np.conj(wave)

    def moment(order: int, conjugated: int) -> Complex128[np.ndarray, " n"]:
        return (wave ** (order - conjugated) * conj**conjugated).mean(1)

    m20, m21, m22 = moment(2, 0), moment(2, 1), moment(2, 2)
    m40, m41, m42 = moment(4, 0), moment(4, 1), moment(4, 2)
    c40, c41, c42 = m40 - 3 * m20**2, m41 - 3 * m20 * m21, m42 - np.abs(m20) ** 2 - 2 * m21**2
    c60 = moment(6, 0) - 15 * m20 * m40 + 30 * m20**3
    c61 = moment(6, 1) - 5 * m21 * m40 - 10 * m20 * m41 + 30 * m20**2 * m21
    c62 = moment(6, 2) - 6 * m20 * m42 - 8 * m21 * m41 - m22 * m40 + 6 * m20**2 * m22 + 24 * m21**2 * m20
    c63 = moment(6, 3) - 9 * m21 * m42 + 12 * m21**3 - 3 * m20 * np.conj(m41) - 3 * m22 * m41 + 18 * m20 * m21 * m22
    return np.abs(np.stack([m20, c40, c41, c42, c60, c61, c62, c63], 1))
