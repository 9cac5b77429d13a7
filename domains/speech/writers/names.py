"""Names of the voices' files in a folder."""

from pathlib import Path

from armillary.core.errors import DataError

# Of a name, so that the voice's number and the suffix fit behind it: file systems take 255.
_LONGEST_BYTES = 200


class Names:
    """Gives each file that is separated a name of its own: its stem; where that is taken its folder's name before it;
    else a number behind it. Long ones are cut. A file that comes again keeps its name. Capital letters make no
    difference.
    """

    def __init__(self) -> None:
        self._owners: dict[str, Path] = {}

    def __call__(self, file: str) -> str:
        path = Path(file).resolve()
        stem = _cut(path.stem)
        tried = [stem, _cut(f"{path.parent.name}-{path.stem}")]
        tried += [f"{stem}~{number}" for number in range(2, len(self._owners) + 3)]
        return next(name for name in tried if self._owners.setdefault(name.casefold(), path) == path)

    def check(self, target: Path) -> None:
        """Refuses a target that is one of the files that were read.

        Raises:
            DataError: it is.
        """
        if target.resolve() in self._owners.values():
            raise DataError(
                "is a file to separate, which a voice of the same name would replace",
                path=target,
                advice="Choose another place for --out.",
            )


def _cut(name: str) -> str:
    return name.encode()[:_LONGEST_BYTES].decode(errors="ignore")
