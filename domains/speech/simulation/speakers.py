"""Who speaks: what stays the same in all that a simulated speaker says."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64

from armillary.core.random import derive_rng

Kind = Literal["male", "female", "child"]

# Middle of the pitch [Hz], from where to where; vocal tract [cm].
_PITCH_HZ: dict[Kind, tuple[float, float]] = {"male": (90, 150), "female": (165, 240), "child": (250, 340)}
_TRACT_CM: dict[Kind, tuple[float, float]] = {"male": (16.3, 18.2), "female": (13.8, 15.6), "child": (11.0, 13.0)}
REFERENCE_CM = 17.2  # the tract that the formants of the table of sounds belong to
FORMANTS = 8  # resonances followed; those above the third stay where an even tube has them


@dataclass(frozen=True)
class Speaker:
    """pitch_hz: its middle; pitch_range: standard deviation of accents [semitones]; tract_cm: length of the tract;
    syllables_hz: speaking rate; tilt_hz: from there to three times as high the spectrum falls faster;
    breath: noise beside the pulses, as amplitude; jitter, shimmer: standard deviation of a period and of a pulse's
    height, as shares;
    formant_scale: own deviation of each formant; bandwidth: width of formants relative to the usual.
    """

    name: str
    kind: Kind
    pitch_hz: float
    pitch_range: float
    tract_cm: float
    syllables_hz: float
    tilt_hz: float
    breath: float
    jitter: float
    shimmer: float
    formant_scale: Float64[np.ndarray, "8"]
    bandwidth: float


def draw_speaker(name: str, kind: Kind, seed: int) -> Speaker:
    """The speaker of that name, a function of (seed, name, kind)."""
    rng = derive_rng(seed, "speaker", name, kind)
    low_hz, high_hz = _PITCH_HZ[kind]
    return Speaker(
        name=name,
        kind=kind,
        pitch_hz=float(np.exp(rng.uniform(np.log(low_hz), np.log(high_hz)))),
        pitch_range=float(rng.uniform(1.8, 3.5)),
        tract_cm=float(rng.uniform(*_TRACT_CM[kind])),
        syllables_hz=float(rng.uniform(3.8, 5.6)),
        tilt_hz=float(np.exp(rng.uniform(np.log(150), np.log(600)))),
        breath=float(np.exp(rng.uniform(np.log(0.01), np.log(0.06)))),
        jitter=float(rng.uniform(0.003, 0.01)),
        shimmer=float(rng.uniform(0.02, 0.08)),
        formant_scale=np.exp(rng.normal(0, 0.03, FORMANTS)),
        bandwidth=float(np.exp(rng.normal(0, 0.12))),
    )
