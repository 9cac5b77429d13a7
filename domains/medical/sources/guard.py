"""Whatever a decoder makes of a damaged file, a reader of ours says which file it was and what is wrong with it."""

import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from armillary.core.errors import DataError


@contextmanager
def reading(path: Path, kind: str, *, private: bool = False, advice: str = "") -> Generator[None, None, None]:
    """Errors of the block become a DataError about `path`; warnings of decoders are kept quiet.

    private: the error's own words are left out, for they may quote what stands in the file about a patient.

    Raises:
        DataError: the file is missing or empty, or the block failed.
    """
    _check_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except DataError:
        raise
    # Any: libraries that decode foreign files raise whatever their parsers run into.
    except Exception as error:
        words = type(error).__name__ if private else f"{type(error).__name__}: {str(error).partition(chr(10))[0][:200]}"
        advice = advice or "The file is damaged or incomplete: copy or export it again."
        raise DataError(f"cannot be read as {kind} ({words})", path=path, advice=advice) from (
            None if private else error
        )


def _check_file(path: Path) -> None:
    try:
        size = path.stat().st_size
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no path"
        raise DataError(f"cannot be opened ({reason})", path=path, advice="Check the path.") from error
    if path.is_dir():
        raise DataError("is a folder, expected a file", path=path, advice="Name the file.")
    if size == 0:
        raise DataError("is empty (0 bytes)", path=path, advice="Copy or export it again.")
