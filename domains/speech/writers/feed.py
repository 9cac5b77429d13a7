"""Predictions of windows, joined, into a writer of voices."""

from collections.abc import Callable
from pathlib import Path

import xarray as xr

from armillary.domains.speech.joining import Joiner, Piece
from armillary.domains.speech.writers.spool import Style
from armillary.domains.speech.writers.told import told


class Feed:
    """Gives every piece of chunks of windows to `take`, with the style that the prediction asks for.

    path: what is written, for messages.
    """

    def __init__(self, take: Callable[[Piece, Style], None], path: Path) -> None:
        self._take, self._path = take, path
        self._joiner, self._style = Joiner(), Style()

    def append(self, prediction: xr.Dataset) -> None:
        """Joins the next chunk on."""
        self._style = Style.of(prediction.attrs)
        with told(self._path):
            for piece in self._joiner.add(prediction):
                self._take(piece, self._style)

    def finish(self) -> None:
        """The end of a file that broke off."""
        with told(self._path):
            for piece in self._joiner.finish():
                self._take(piece, self._style)
