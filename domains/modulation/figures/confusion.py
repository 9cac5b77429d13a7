"""Confusion at low, middle and high SNR labels."""

import numpy as np
from jaxtyping import Bool
from matplotlib.figure import Figure

from armillary.core.classification.scored import Scored
from armillary.core.figures.confusion import confusion_panels
from armillary.domains.modulation.metrics.by_snr import BySNR

PANELS = 3


def confusion_by_snr(table: BySNR) -> Figure | None:
    """A confusion matrix for each third of the SNR labels; None with fewer than two labels."""
    labels = np.flatnonzero(~np.isnan(table.labels))
    if len(labels) < 2:
        return None
    thirds = np.array_split(labels, min(PANELS, len(labels)))
    return confusion_panels(
        [(_title(table, third), _part(table.known, np.isin(table.place, third))) for third in thirds]
    )


def _title(table: BySNR, chosen: np.ndarray) -> str:
    low, high = (f"{table.labels[place]:g}".replace("-", "\N{MINUS SIGN}") for place in (chosen[0], chosen[-1]))
    return f"{low} dB" if low == high else f"{low} to {high} dB"


def _part(known: Scored, chosen: Bool[np.ndarray, " n"]) -> Scored:
    marked = known.known.copy()
    marked[known.known] = chosen
    return Scored(known.probability[chosen], known.truth[chosen], marked, known.classes)
