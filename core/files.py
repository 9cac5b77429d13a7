"""Files that are whole or absent: written beside their place, forced to disk, then renamed."""

import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from armillary.core.errors import DataError


@contextmanager
def atomic_write(path: Path) -> Generator[Path, None, None]:
    """A temporary path in the folder of `path`; it takes the place of `path` when the block ends well.

    The block may write a file or make a folder there. After an error (or a full disk) nothing of it is left
    and `path` is as it was. The temporary name keeps the suffix, since many writers look at it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name[:100]}.") as folder:
        temporary = Path(folder) / path.name
        yield temporary
        replace_atomically(temporary, path)


@contextmanager
def advised(path: Path, what: str = "the prediction", others: tuple[type[Exception], ...] = ()) -> Generator[None]:
    """Turns what the system says of a full disk or a place that cannot be written into a DataError with advice.

    what: is being written. others: errors of a library that say the same.
    """
    try:
        yield
    except (OSError, *others) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise DataError(
            f"{what} could not be written: {reason or error}",
            path=path,
            advice="Nothing half-written is left. Make room or choose another place, then run it again.",
        ) from error


def replace_atomically(source: Path, target: Path) -> None:
    """Move `source` to `target` on one file system, over what is there; both survive a power cut whole."""
    _force_to_disk(source)
    if source.is_dir() and target.exists():
        _swap_folder(source, target)
    else:
        os.replace(source, target)
    _sync(target.parent)


def _swap_folder(source: Path, target: Path) -> None:
    """Put the folder `source` where `target` is; a rename cannot overwrite a folder that holds files."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name[:100]}.") as folder:
        old = Path(folder) / "old"
        os.replace(target, old)
        try:
            os.replace(source, target)
        except OSError:
            os.replace(old, target)
            raise


def _force_to_disk(path: Path) -> None:
    if path.is_symlink():
        return
    if path.is_dir():
        for child in path.iterdir():
            _force_to_disk(child)
    _sync(path)


def _sync(path: Path) -> None:
    # Windows can neither open a folder nor sync what is open for reading only.
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        # Some network file systems refuse to sync folders; a file that cannot be synced is not written.
        if not path.is_dir():
            raise
    finally:
        os.close(descriptor)
