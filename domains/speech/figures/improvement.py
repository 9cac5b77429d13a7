"""How much was gained, over all voices: by level difference, by who speaks with whom, against the input."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from jaxtyping import Float64
from matplotlib.figure import Figure

from armillary.core.plotting import BLACK, GREY, MARKERS, PALETTE, new_figure
from armillary.domains.speech.metrics.groups_of_voices import LEVEL_BINS, sex_group, sex_groups
from armillary.domains.speech.metrics.voices import gain, score

_BINS = 24
_TAIL = 0.005  # of the voices at either end, drawn in the outermost bins
_MOST_POINTS = 4000


def by_level(prediction: xr.Dataset) -> Figure | None:
    """Histograms of the improvement of SI-SDR, one for voices of each range of level over the others."""
    improvement = gain(prediction, "si_sdr")
    parts = {part.words: improvement[part.holds(prediction)] for part in LEVEL_BINS}
    return _histograms(parts, "Level over the others")


def by_sexes(prediction: xr.Dataset) -> Figure | None:
    """Histograms of the improvement of SI-SDR, one for mixtures of each pair of sexes; None where none is known."""
    improvement, group = gain(prediction, "si_sdr"), sex_group(prediction)
    names = sex_groups(prediction.sizes["source"])
    return _histograms({name.replace("_", " "): improvement[group == name].ravel() for name in names}, "Sexes")


def against_input(prediction: xr.Dataset) -> Figure | None:
    """Each voice: improvement of SI-SDR against the mixture's own, and the running median."""
    before, improvement = score(prediction, "si_sdr_mixture"), gain(prediction, "si_sdr")
    known = np.isfinite(improvement)
    if not known.any():
        return None
    figure = new_figure(5.4, 3.6)
    axes = figure.add_subplot()
    group = np.broadcast_to(sex_group(prediction)[:, None], improvement.shape)
    shown = np.zeros(improvement.shape, np.bool_)
    shown.reshape(-1)[:: -(-shown.size // _MOST_POINTS)] = True
    names = ("", *sex_groups(prediction.sizes["source"]))
    for name, colour, marker in zip(names, (GREY, *PALETTE), ("x", *MARKERS), strict=False):
        chosen = known & shown & (group == name)
        if chosen.any():
            label = name.replace("_", " ") or "sex unknown"
            # A cross is nothing but its line.
            width = 0.0 if name else 0.6
            axes.scatter(
                before[chosen], improvement[chosen], s=14, marker=marker, label=label, color=colour, linewidths=width,
                alpha=0.6,
            )  # fmt: skip
    middle, median = running_median(before[known], improvement[known])
    axes.plot(middle, median, color=BLACK, label="median")
    axes.axhline(0, color=GREY, linewidth=0.8, linestyle="--")
    axes.set(xlabel="SI-SDR of the mixture [dB]", ylabel="Improvement of SI-SDR [dB]")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0)
    return figure


def running_median(
    across: Float64[np.ndarray, " n"], values: Float64[np.ndarray, " n"], parts: int = 8
) -> tuple[Float64[np.ndarray, " m"], Float64[np.ndarray, " m"]]:
    """Medians of both in up to `parts` parts of as many points each, along the first."""
    groups = [part for part in np.array_split(np.argsort(across, kind="stable"), parts) if len(part)]
    return (
        np.array([np.median(across[part]) for part in groups]),
        np.array([np.median(values[part]) for part in groups]),
    )


def _histograms(parts: Mapping[str, np.ndarray], title: str) -> Figure | None:
    """One above the other on one axis, so that shapes can be compared; a mark at each median. None without voices."""
    known = {name: values[np.isfinite(values)] for name, values in parts.items()}
    known = {name: values for name, values in known.items() if len(values)}
    if not known:
        return None
    everything = np.concatenate(list(known.values()))
    low, high = np.quantile(everything, [_TAIL, 1 - _TAIL])
    low, high = min(low, 0.0), max(high, low + 1.0)
    edges = np.linspace(low, high, _BINS + 1)
    figure = new_figure(5.4, 0.9 + 1.0 * len(known))
    rows = figure.subplots(len(known), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axes, (name, values), colour in zip(rows, known.items(), PALETTE, strict=False):
        share = np.histogram(np.clip(values, low, high), edges)[0] / len(values)
        axes.stairs(share, edges, fill=True, color=colour, alpha=0.75)
        middle = float(np.median(values))
        axes.axvline(middle, color=BLACK, linewidth=1.2)
        axes.axvline(0, color=GREY, linewidth=0.8, linestyle="--")
        told = f"{title}: {name}, {len(values):,} voices, median {middle:.1f} dB"
        axes.set_title(told.replace("-", "\N{MINUS SIGN}"), fontsize=9)
        axes.set_ylabel("Share")
    rows[-1].set_xlabel("Improvement of SI-SDR over the mixture [dB]")
    return figure
