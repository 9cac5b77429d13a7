"""What a disk or a folder refuses, as advice."""

from contextlib import AbstractContextManager
from pathlib import Path

import soundfile

from armillary.core.files import advised


def told(path: Path) -> AbstractContextManager[None]:
    """Turns what the system or the sound library says of a place that cannot be written into a DataError."""
    return advised(path, "the voices", (soundfile.LibsndfileError,))
