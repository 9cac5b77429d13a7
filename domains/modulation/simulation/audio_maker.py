"""The generator of receiver audio in the form that training items call."""

import numpy as np
from jaxtyping import Float32, Int64, UInt64

from armillary.domains.modulation.classes import SATELLITE
from armillary.domains.modulation.simulation.receiver_audio import generate_audio


class ReceiverAudio:
    """(place of the class, SNR, seeds) -> analytic frames of receiver audio; there is one noise rule only."""

    classes = SATELLITE

    def __init__(self, noise: str, length: int) -> None:
        self._length = length

    def __call__(
        self, place: Int64[np.ndarray, " n"], snr_db: Float32[np.ndarray, " n"], seeds: UInt64[np.ndarray, " n"]
    ) -> Float32[np.ndarray, "n 2 l"]:
        return generate_audio(place, snr_db, seeds, self._length)[0]
