"""Names of the voices' files in a folder."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, count
from pathlib import Path

# Of a name, so that the voice's number and the suffix fit behind it: file systems take 255.
_LONGEST_BYTES = 200


class Names:
    """Gives each file that is separated a name of its own: its stem; where that is taken its folder's name before it,
    or its suffix behind it if a file beside it took the stem; else a number behind it. Long ones are cut. A file that
    comes again keeps its name. Capital letters make no difference.

    A name is passed over where a voice of that name would replace a recording to separate.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._owners: dict[str, Path] = {}
        self._recordings: set[str] = set()
        self._kept: set[str] = set()

    def keep(self, recordings: Iterable[str]) -> None:
        """Recordings that no voice may replace; those that were named already are among them."""
        new = set(recordings) - self._kept
        self._recordings |= {_same(Path(recording)) for recording in new}
        self._kept |= new

    def __call__(self, file: str, endings: Sequence[str]) -> str:
        """The name of a file whose voices are called by it and an ending each."""
        path = Path(file).resolve()
        self.keep([file])
        return next(
            name
            for name in self._tried(path)
            if not any(_same(self._folder / f"{name}{ending}") in self._recordings for ending in endings)
            and self._owners.setdefault(name.casefold(), path) == path
        )

    def _tried(self, path: Path) -> Iterator[str]:
        stem, folder = _cut(path.stem), path.parent.name
        taken = self._owners.get(stem.casefold(), path)
        beside = [path.name] if taken.parent == path.parent else [f"{folder}-{path.stem}"]
        words = [*beside, f"{folder}-{path.name}"]
        return chain([stem], map(_cut, words), (f"{stem}~{number}" for number in count(2)))


def _same(path: Path) -> str:
    """Alike for paths of one file, on disks that tell capital letters from small ones and on others."""
    return str(path.resolve()).casefold()


def _cut(name: str) -> str:
    return name.encode()[:_LONGEST_BYTES].decode(errors="ignore")
