"""Constellations of the 2018 classes, of unit mean power."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Complex128

from armillary.domains.modulation.simulation.transmitters import ring, square

Points = Complex128[np.ndarray, " m"]


def unit(points: Points) -> Points:
    """The points over the root of their mean power."""
    return points / np.sqrt((np.abs(points) ** 2).mean())


def amplitudes(levels: int) -> Points:
    """Amplitude shift keying with levels 0, 1, ..., so that the carrier shows (OOK has two)."""
    return unit(np.arange(levels).astype(np.complex128))


def cross(bits: int) -> Points:
    """A square without its corners, for odd numbers of bits (32QAM, 128QAM)."""
    grid = square(3 * 2 ** ((bits - 3) // 2))
    across, up = np.abs(np.real(grid)), np.abs(np.imag(grid))
    corner = across.max() - 2 * (2 ** ((bits - 5) // 2)) + 1
    return unit(grid[(across < corner) | (up < corner)])


def rings(counts: Sequence[int], radii: Sequence[float]) -> Points:
    """Amplitude and phase shift keying: rings of evenly spaced points."""
    return unit(np.concatenate([radius * ring(count) for count, radius in zip(counts, radii, strict=True)]))


CONSTELLATIONS = {
    "OOK": amplitudes(2),
    "4ASK": amplitudes(4),
    "8ASK": amplitudes(8),
    "BPSK": np.array([-1, 1], np.complex128),
    "QPSK": ring(4),
    "8PSK": ring(8),
    "16PSK": ring(16),
    "32PSK": ring(32),
    # Ring sizes and radii after DVB-S2 and DVB-S2X; those of 128APSK are evenly spaced.
    "16APSK": rings((4, 12), (1.0, 2.85)),
    "32APSK": rings((4, 12, 16), (1.0, 2.84, 5.27)),
    "64APSK": rings((4, 12, 20, 28), (1.0, 2.4, 4.3, 7.0)),
    "128APSK": rings((8, 16, 24, 32, 48), (1.0, 2.0, 3.0, 4.0, 5.0)),
    "16QAM": unit(square(4)),
    "32QAM": cross(5),
    "64QAM": unit(square(8)),
    "128QAM": cross(7),
    "256QAM": unit(square(16)),
}
