"""Whether a window of a recording holds a burst, or noise alone that should get no name."""

from armillary.domains.modulation.detection.cyclic import cyclic_statistic, cyclic_threshold
from armillary.domains.modulation.detection.detect import Detection, detect
from armillary.domains.modulation.detection.energy import energy_threshold, estimate_noise, window_energy

__all__ = [
    "Detection",
    "cyclic_statistic",
    "cyclic_threshold",
    "detect",
    "energy_threshold",
    "estimate_noise",
    "window_energy",
]
