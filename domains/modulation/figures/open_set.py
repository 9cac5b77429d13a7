"""How far the score of novelty tells left-out classes from known ones."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from armillary.core.classification.open_set import novelty, open_set_auc
from armillary.core.plotting import BLUE, VERMILLION, new_figure

BINS = 50
TAIL = 0.002  # share of frames beyond each end, drawn in the last bin


def open_set_figure(prediction: xr.Dataset) -> Figure:
    """Shares of known and of left-out frames over the open-set score; scores beyond the ends are in the last bins."""
    score = novelty(prediction)
    known = prediction["truth"].values >= 0
    low, high = np.quantile(score, [TAIL, 1 - TAIL])
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    figure = new_figure(5.0, 3.4)
    axes = figure.add_subplot()
    kinds = ((known, "known classes", BLUE, "-"), (~known, "left-out classes", VERMILLION, "--"))
    for chosen, name, colour, line in kinds:
        share = np.histogram(np.clip(score[chosen], edges[0], edges[-1]), edges)[0] / chosen.sum()
        axes.stairs(share, edges, fill=True, color=colour, alpha=0.25, linewidth=0)
        label = f"{name} ({chosen.sum():,} frames)"
        axes.stairs(share, edges, color=colour, linestyle=line, linewidth=1.5, label=label)
    unit = "Open-set score [nat]" if "open_set_score" in prediction else "1 \N{MINUS SIGN} highest probability"
    axes.set(xlabel=f"{unit}, higher: less like a known class", ylabel="Share of frames")
    axes.set_title(f"Area under ROC {open_set_auc(prediction)(np.ones(len(score))):.3f}")
    axes.set_ylim(top=1.25 * axes.get_ylim()[1])
    axes.legend(loc="upper left")
    return figure
