"""The predicted classes along a recording: a row for each class that occurs, filled where it was predicted."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float64, Int64
from matplotlib.axes import Axes

from armillary.core.plotting import GREY, PALETTE

STEPS = 800  # along a recording at most
ROW_HEIGHT = 0.8
UNNAMED = {"unknown class": "////", "no signal": "...."}  # rows that name no class, and their hatches


@dataclass(frozen=True)
class Strip:
    """Steps along a recording, each from `begin` to `end` [sample], and the share of its windows in each row.

    names: of the rows; those of the classes that occur, then "unknown class" and "no signal" where they do.
    kind: place of each row's class among all classes.
    """

    names: tuple[str, ...]
    kind: Int64[np.ndarray, " r"]
    begin: Float64[np.ndarray, " m"]
    end: Float64[np.ndarray, " m"]
    share: Float64[np.ndarray, "r m"]


def strip_of(windows: xr.Dataset) -> Strip:
    """What each window was called, until the next one starts; of more than `STEPS` windows, neighbours share a step.

    A window is "no signal" where nothing was detected, else "unknown class" where its typicality is below
    attrs["reject"].
    """
    names = (*(str(name) for name in windows["class"].values), *UNNAMED)
    start, kind = windows["start"].values.astype(np.float64), _kinds(windows)
    end = np.minimum(start + float(windows.attrs["window"]), np.append(start[1:], np.inf))
    step = np.arange(len(start)) // -(-len(start) // STEPS)
    first = np.flatnonzero(np.diff(step, prepend=-1))
    counts = np.bincount(step * len(names) + kind, minlength=len(first) * len(names)).reshape(-1, len(names))
    share = (counts / counts.sum(1, keepdims=True)).T
    seen = np.flatnonzero(counts.any(0)).astype(np.int64)
    return Strip(tuple(names[k] for k in seen), seen, start[first], np.maximum.reduceat(end, first), share[seen])


def draw_strip(axes: Axes, strip: Strip, scale: float) -> None:
    """Each row filled to the share of windows that were called so; grey and hatched where no class is named.

    Rows are named at the axis: colours alone would not tell eleven classes apart. scale: axis units per sample.
    """
    for place, name in enumerate(strip.names):
        told = strip.share[place] > 0
        begin, end, height = strip.begin[told], strip.end[told], ROW_HEIGHT * strip.share[place, told]
        across = np.column_stack([begin, begin, end, end]).ravel() * scale
        up = np.column_stack([np.zeros_like(height), height, height, np.zeros_like(height)]).ravel()
        floor = place + ROW_HEIGHT / 2
        axes.fill_between(across, floor, floor - up, **_style(name, int(strip.kind[place])))
    axes.set_yticks(range(len(strip.names)), strip.names)
    axes.set_ylim(len(strip.names) - 0.5, -0.5)
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


def _style(name: str, kind: int) -> dict[str, Any]:
    if name in UNNAMED:
        return {"facecolor": "#DDDDDD", "edgecolor": GREY, "hatch": UNNAMED[name], "linewidth": 0.0}
    return {"facecolor": PALETTE[kind % len(PALETTE)], "linewidth": 0.0}
