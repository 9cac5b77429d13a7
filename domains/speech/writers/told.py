"""What a disk or a folder refuses, as advice."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import soundfile

from armillary.core.errors import DataError


@contextmanager
def told(path: Path) -> Generator[None, None, None]:
    """Turns what the system says of a full disk or a place that cannot be written into a DataError with advice."""
    try:
        yield
    except (OSError, soundfile.LibsndfileError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise DataError(
            f"the voices could not be written: {reason or error}",
            path=path,
            advice="Nothing half-written is left. Make room or choose another place, then run it again.",
        ) from error
