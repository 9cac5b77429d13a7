"""One audio file whose channels are the voices."""

from collections.abc import Callable, Generator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import xarray as xr

from armillary.core.errors import DataError
from armillary.core.files import atomic_write
from armillary.domains.speech.joining import Piece
from armillary.domains.speech.writers.feed import Feed
from armillary.domains.speech.writers.spool import Spool, Style
from armillary.domains.speech.writers.told import told


class _OneFile:
    """Spools the voices of a file and refuses another one."""

    def __init__(self, path: Path, spool: Spool) -> None:
        self._path, self._spool = path, spool
        self._latest: Piece | None = None
        self._style = Style()

    def add(self, piece: Piece, style: Style) -> None:
        before = self._latest
        if before is not None and (before.last or piece.file != before.file):
            raise DataError(
                f"can hold the voices of one file, but {before.file} and {piece.file} are separated",
                path=self._path,
                advice="Give --out a folder (a name without suffix), or separate one file at a time.",
            )
        if Path(piece.file).resolve() == self._path.resolve():
            raise DataError(
                "is the file to separate, which its voices would replace",
                path=self._path,
                advice="Choose another name for --out.",
            )
        self._spool.append(piece.samples)
        self._latest, self._style = piece, style

    def encode(self, target: Path) -> None:
        if self._latest is None:
            raise DataError("nothing was separated, so there is no sound to write", path=self._path)
        self._spool.encode([target], self._latest.rate_hz, self._style.peak)


@contextmanager
def stream_single(path: Path) -> Generator[Callable[[xr.Dataset], None], None, None]:
    """Takes predictions of one file's windows chunk by chunk; the voices' file appears when the block ends well.

    Its suffix, .wav or .flac, tells the format.

    Raises:
        DataError: windows of a second file, or none at all.
    """
    with ExitStack() as stack:
        with told(path):
            temporary = stack.enter_context(atomic_write(path))
            spool = stack.enter_context(closing(Spool(temporary.with_name("spool"))))
        voices = _OneFile(path, spool)
        feed = Feed(voices.add, path)
        yield feed.append
        feed.finish()
        with told(path):
            voices.encode(temporary)
            stack.close()
