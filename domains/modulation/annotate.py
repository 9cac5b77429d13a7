"""Predicted classes of a recording as SigMF annotations, written as they come."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import xarray as xr
from sigmf import __specification__ as SIGMF_VERSION

from armillary.core.errors import DataError


@dataclass
class _Stretch:
    """Consecutive windows of one class."""

    label: str
    start: int
    last: int  # first sample of the last window
    windows: int
    probability: float  # sum over the windows


class Annotator:
    """Writes SigMF metadata of one recording: one annotation for each stretch of windows of one class.

    Memory does not grow with the recording. Frames of a set, which have no place in time, count as laid end to end.
    """

    def __init__(self, stream: TextIO, path: Path) -> None:
        self._stream, self._path = stream, path
        self._source: str | None = None
        self._stretch: _Stretch | None = None
        self._window = self._hop = 1
        self._next = 0  # first sample of the next window without a place
        self._written = 0
        self._centres: list[tuple[int, float]] = []

    def append(self, prediction: xr.Dataset, said: np.ndarray) -> None:
        """Adds windows; `said` is the label of each, "" where there is no signal.

        Raises:
            DataError: windows of a second recording, or windows that go back in time.
        """
        if prediction.sizes["item"] == 0:
            return
        starts = self._starts(prediction)
        if self._source is None:
            self._source = _source(prediction)
            self._begin(prediction.attrs)
        self._check(prediction, starts)
        centre = float(prediction.attrs.get("centre_hz", np.nan))
        if not self._centres or not np.array_equal(self._centres[-1][1], centre, equal_nan=True):
            self._centres.append((int(starts[0]) if self._centres else 0, centre))
        likeliest = prediction["probability"].max("class").values
        for label, start, value in zip(said.tolist(), starts.tolist(), likeliest.tolist(), strict=True):
            self._add(str(label), start, value)

    def close(self) -> None:
        """Ends the file."""
        self._flush()
        if self._source is None:
            self._begin({})
        captures: list[dict[str, Any]] = [
            {"core:sample_start": start, **({"core:frequency": centre} if np.isfinite(centre) else {})}
            for start, centre in self._centres
        ]
        self._stream.write(f'\n  ],\n  "captures": {json.dumps(captures)}\n}}\n')

    def _begin(self, attrs: Mapping[Any, Any]) -> None:
        self._window, self._hop = int(attrs.get("window", 1)), int(attrs.get("hop", 1))
        made = " of ".join(str(attrs[key]) for key in ("run", "recipe") if key in attrs)
        about: dict[str, Any] = {
            "core:datatype": "cf32_le",
            "core:version": SIGMF_VERSION,
            # The samples lie in the recording, not beside these predictions.
            "core:metadata_only": True,
            "core:description": f"Predicted modulation of {self._source or 'frames laid end to end'}",
            "core:recorder": f"armillary ({made})" if made else "armillary",
        }
        rate = float(attrs.get("sample_rate_hz", np.nan))
        if np.isfinite(rate):
            about["core:sample_rate"] = rate
        self._stream.write(f'{{\n  "global": {json.dumps(about)},\n  "annotations": [')

    def _starts(self, prediction: xr.Dataset) -> np.ndarray:
        if "start" in prediction:
            return prediction["start"].values
        window = int(prediction.attrs["window"])
        starts = self._next + window * np.arange(prediction.sizes["item"])
        self._next = int(starts[-1]) + window
        return starts

    def _check(self, prediction: xr.Dataset, starts: np.ndarray) -> None:
        sources = {_source(prediction)} if "source" not in prediction else set(map(str, prediction["source"].values))
        others = sorted(sources - {self._source})
        if others:
            raise DataError(
                f"one SigMF file describes one recording, but these are predictions of {self._source} and {others[0]}",
                path=self._path,
                advice="Predict file by file, or write .csv, which holds any number.",
            )
        if (np.diff(starts) <= 0).any() or (self._stretch is not None and starts[0] <= self._stretch.last):
            raise DataError(
                f"windows of {self._source} come out of order, or twice",
                path=self._path,
                advice="Give the recording once.",
            )

    def _add(self, label: str, start: int, probability: float) -> None:
        now = self._stretch
        if now is not None and now.label == label and start - now.last == self._hop:
            now.last, now.windows, now.probability = start, now.windows + 1, now.probability + probability
            return
        self._flush()
        self._stretch = _Stretch(label, start, start, 1, probability)

    def _flush(self) -> None:
        """Writes the stretch that has ended, unless it holds no signal."""
        now = self._stretch
        if now is None or not now.label:
            return
        mean = now.probability / now.windows
        annotation = {
            "core:sample_start": now.start,
            "core:sample_count": now.last - now.start + self._window,
            "core:label": now.label,
            "core:comment": f"mean probability {mean:.3f} of the likeliest class over {now.windows} windows",
            "core:generator": "armillary",
        }
        self._stream.write(("," if self._written else "") + f"\n    {json.dumps(annotation)}")
        self._written += 1


def _source(prediction: xr.Dataset) -> str:
    """The recording of the first window, "" for frames of a set."""
    return str(prediction["source"].values[0]) if "source" in prediction else ""
