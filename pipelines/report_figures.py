"""Figures of the report: embedded as data, so that the file stands alone and no foreign markup runs."""

import base64
import io
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

_PNG = b"\x89PNG\r\n\x1a\n"
_MAX_SVG_BYTES = 400_000
_DOTS_PER_INCH = 144
# Okabe and Ito's palette: told apart with any colour vision.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
_TRAIN = "train loss"


@dataclass(frozen=True)
class ReportFigure:
    """A picture: PNG or SVG bytes, or a matplotlib figure. `alt` says in words what it shows."""

    name: str
    content: bytes | Figure
    caption: str
    alt: str

    @property
    def wide(self) -> bool:
        """Whether the picture is more than twice as wide as high, as far as that can be told."""
        if isinstance(self.content, Figure):
            width, height = self.content.get_size_inches()
        elif self.content.startswith(_PNG):
            width, height = struct.unpack(">II", self.content[16:24])
        else:
            return False
        return bool(width > 2 * height)


def data_address(content: bytes | Figure) -> str:
    """The picture as a data: address; in an image element an SVG's scripts and links stay dead.

    A matplotlib figure becomes SVG, or PNG where the SVG would be large.

    Raises:
        ValueError: bytes that are neither PNG nor SVG.
    """
    data = _drawn(content) if isinstance(content, Figure) else content
    if data.startswith(_PNG):
        kind = "png"
    elif b"<svg" in data[:2000]:
        kind = "svg+xml"
    else:
        raise ValueError(f"a figure is PNG or SVG, got bytes that begin with {data[:8]!r}")
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def training_curve(rows: Sequence[Mapping[str, Any]], primary: str | None) -> ReportFigure | None:
    """Training loss and the primary validation metric against optimiser steps; None without rows."""
    train = _series(rows, _TRAIN)
    judged = _series(rows, f"validation {primary}") if primary else ([], [])
    panels = [(name, series) for name, series in ((_TRAIN, train), (f"validation {primary}", judged)) if series[0]]
    if not panels:
        return None
    figure = Figure(figsize=(3.6 * len(panels), 2.6), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (name, (steps, values)), colour in zip(axes, panels, _COLOURS, strict=False):
        axis.plot(steps, values, color=colour, marker="o", markersize=3)
        axis.set_xlabel("optimiser step")
        axis.set_title(name, loc="left", fontsize="medium")
        axis.grid(alpha=0.3)
    told = "; ".join(f"{name} goes from {values[0]:.3g} to {values[-1]:.3g}" for name, (_, values) in panels)
    caption = "Training loss, and the metric on the validation split that chose the checkpoint."
    return ReportFigure("training curve", figure, caption if len(panels) > 1 else "Training loss.", told)


def _series(rows: Sequence[Mapping[str, Any]], name: str) -> tuple[list[float], list[float]]:
    points = [(row["step"], row[name]) for row in rows if row.get(name) is not None]
    return [float(step) for step, _ in points], [float(value) for _, value in points]


def _drawn(figure: Figure) -> bytes:
    stream = io.BytesIO()
    # With a fixed salt and without the date the same run gives the same report.
    with rc_context({"svg.hashsalt": "armillary"}):
        figure.savefig(stream, format="svg", metadata={"Date": None})
    if stream.tell() > _MAX_SVG_BYTES:
        stream = io.BytesIO()
        figure.savefig(stream, format="png", dpi=_DOTS_PER_INCH)
    return stream.getvalue()
