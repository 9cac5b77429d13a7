"""The predicted class along a recording: a row for each class that occurs, a bar where it was predicted."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float64, Int64
from matplotlib.axes import Axes

from armillary.core.plotting import GREY, PALETTE

BARS = 800  # stretches along a recording at most
NO_SIGNAL, UNKNOWN = "no signal", "unknown class"


@dataclass(frozen=True)
class Strip:
    """Stretches of a recording [sample]: begin, end and row (place in `rows`) of each; the last rows name no class."""

    rows: tuple[str, ...]
    begin: Float64[np.ndarray, " m"]
    end: Float64[np.ndarray, " m"]
    row: Int64[np.ndarray, " m"]


def strip_of(windows: xr.Dataset) -> Strip:
    """The class of each window until the next one starts; of many windows, the most frequent one of neighbours.

    A window is "no signal" where nothing was detected, else "unknown class" where its typicality is below attrs
    ["reject"].
    """
    names = (*(str(name) for name in windows["class"].values), UNKNOWN, NO_SIGNAL)
    start, kind = windows["start"].values.astype(np.float64), _kinds(windows)
    length = float(windows.attrs["window"])
    end = np.minimum(start + length, np.r_[start[1:], np.inf])
    group = np.arange(len(start)) // -(-len(start) // BARS)
    heads = np.flatnonzero(np.diff(group, prepend=-1))
    table = np.bincount(group * len(names) + kind, minlength=len(heads) * len(names)).reshape(-1, len(names))
    begin, end, kind = start[heads], np.maximum.reduceat(end, heads), table.argmax(1)
    seen = np.unique(kind)
    merged = np.flatnonzero(np.r_[True, (kind[1:] != kind[:-1]) | (begin[1:] > end[:-1])])
    last = np.r_[merged[1:], len(begin)] - 1
    row = np.searchsorted(seen, kind[merged]).astype(np.int64)
    return Strip(tuple(names[place] for place in seen), begin[merged], end[last], row)


def draw_strip(axes: Axes, strip: Strip, scale: float) -> None:
    """A bar for each stretch in the row of its class; grey and hatched where no class is named.

    Rows are named at the axis: colours alone would not tell eleven classes apart. scale: axis units per sample.
    """
    for place, name in enumerate(strip.rows):
        mine = strip.row == place
        spans = np.column_stack([strip.begin[mine], (strip.end - strip.begin)[mine]]) * scale
        named = name not in (NO_SIGNAL, UNKNOWN)
        style: dict[str, Any] = {"facecolor": PALETTE[place % len(PALETTE)]} if named else _hatched(name)
        axes.broken_barh([(left, width) for left, width in spans.tolist()], (place - 0.4, 0.8), **style)
    axes.set_yticks(range(len(strip.rows)), strip.rows)
    axes.set_ylim(len(strip.rows) - 0.5, -0.5)
    axes.set_ylabel("Predicted class")
    axes.grid(axis="y", alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)


def _kinds(windows: xr.Dataset) -> Int64[np.ndarray, " n"]:
    """Place of each window's class; k where it is unknown, k + 1 where there is no signal."""
    kind = windows["probability"].transpose("item", "class").values.argmax(1)
    classes = windows.sizes["class"]
    if "typicality" in windows and "reject" in windows.attrs:
        kind = np.where(windows["typicality"].values < windows.attrs["reject"], classes, kind)
    if "detected" in windows:
        kind = np.where(windows["detected"].values, kind, classes + 1)
    return kind.astype(np.int64)


def _hatched(name: str) -> dict[str, Any]:
    return {
        "facecolor": "#DDDDDD",
        "edgecolor": GREY,
        "hatch": "////" if name == UNKNOWN else "....",
        "linewidth": 0.0,
    }
