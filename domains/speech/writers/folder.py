"""A folder of voices: one file for each voice of each file."""

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import xarray as xr
from jaxtyping import Float32

from armillary.core.errors import DataError
from armillary.core.files import replace_atomically
from armillary.domains.speech.joining import Piece
from armillary.domains.speech.readers.search import KEPT
from armillary.domains.speech.writers.feed import Feed
from armillary.domains.speech.writers.names import Names
from armillary.domains.speech.writers.spool import Spool, Style
from armillary.domains.speech.writers.told import told


class VoiceFolder:
    """Takes pieces of files, one file after another, and writes `<stem>-1.wav`, `<stem>-2.wav`, ... of each.

    A file appears when its last piece has come, whole. What else lies in the folder stays.
    """

    def __init__(self, folder: Path, scratch: Path) -> None:
        self._folder, self._scratch, self._names = folder, scratch, Names(folder)
        self._spool: Spool | None = None
        self.written: list[Path] = []

    def add(self, piece: Piece, style: Style) -> None:
        """Adds a piece; it follows the one before of the same file."""
        self.append(piece.file, piece.rate_hz, piece.samples, style, last=piece.last)

    def append(
        self, file: str, rate_hz: int, samples: Float32[np.ndarray, "k n"], style: Style, *, last: bool = False
    ) -> None:
        """Adds the next samples of a file's voices; `last`: the file is over with them."""
        if self._spool is None:
            self._spool = Spool(self._scratch / "spool")
        self._spool.append(samples)
        if last:
            self._publish(self._spool, file, rate_hz, style)
            self._spool = None

    def keep(self, recordings: Iterable[str]) -> None:
        """Recordings that no voice may replace, besides those whose voices come."""
        self._names.keep(recordings)

    def close(self) -> None:
        """Forgets a file that is not over."""
        if self._spool is not None:
            self._spool.close()

    def _publish(self, spool: Spool, file: str, rate_hz: int, style: Style) -> None:
        endings = [f"-{voice + 1}{style.suffix}" for voice in range(spool.voices)]
        name = self._names(file, endings)
        targets = [self._folder / f"{name}{ending}" for ending in endings]
        made = [self._scratch / target.name for target in targets]
        spool.encode(made, rate_hz, style.peak)
        for source, target in zip(made, targets, strict=True):
            replace_atomically(source, target)
        self.written += targets


@contextmanager
def open_folder(path: Path) -> Generator[VoiceFolder, None, None]:
    """A folder to write voices into, made if missing; a file that is not over when the block ends is not written."""
    if path.exists() and not path.is_dir():
        raise DataError(
            "is a file; expected a folder, which a name without suffix stands for",
            path=path,
            advice="Choose another name for --out.",
        )
    with told(path):
        path.mkdir(parents=True, exist_ok=True)
        scratch = TemporaryDirectory(dir=path, prefix=".unfinished-")
    with scratch as place:
        folder = VoiceFolder(path, Path(place))
        try:
            yield folder
        finally:
            folder.close()


@contextmanager
def stream_folder(path: Path) -> Generator[Callable[[xr.Dataset], None], None, None]:
    """Takes predictions of windows chunk by chunk. A voice replaces no recording that a chunk has or tells of."""
    with open_folder(path) as folder:
        feed = Feed(folder.add, path)

        def append(prediction: xr.Dataset) -> None:
            folder.keep([*prediction.attrs.get(KEPT, ()), *map(str, np.unique(prediction["file"].values))])
            feed.append(prediction)

        yield append
        feed.finish()
