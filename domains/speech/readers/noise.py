"""Recordings of noise, and which part of them belongs to which split."""

from pathlib import Path

from armillary.core.domain import Split
from armillary.core.errors import DataError
from armillary.domains.speech.readers.audio import SUFFIXES
from armillary.domains.speech.readers.recordings import Recording

# WHAM!'s folders.
_FOLDERS: dict[Split, str] = {"train": "tr", "validation": "cv", "test": "tt"}
# Between the parts of one recording lies a gap, so that no split hears the same seconds.
_SHARED: dict[Split, tuple[float, float]] = {"train": (0.0, 0.55), "validation": (0.65, 1.0)}
_ALONE: dict[Split, tuple[float, float]] = {"train": (0.0, 0.55), "validation": (0.6, 0.75), "test": (0.8, 1.0)}


def read_noises(folder: Path, split: Split) -> list[Recording]:
    """The noises of a split.

    Where there are folders tr, cv and tt, these are the splits. Of a flat folder the last recording (by name) is
    the test's; of the others the first 55 % are for training and the last 35 % for validation. One recording alone
    is cut into three.

    Raises:
        DataError: no audio lies there.
    """
    own = folder / _FOLDERS[split]
    files = _audio(own if own.is_dir() else folder)
    if not files:
        raise DataError("holds no noise", path=folder, advice=f"Expected audio files ({', '.join(SUFFIXES[:4])}, ...).")
    if own.is_dir():
        return [_noise(path, split) for path in files]
    if len(files) == 1:
        return [_noise(files[0], split, _ALONE[split])]
    if split == "test":
        return [_noise(files[-1], split)]
    return [_noise(path, split, _SHARED[split]) for path in files[:-1]]


def _audio(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.name[0] != ".")


def _noise(path: Path, split: Split, part: tuple[float, float] = (0.0, 1.0)) -> Recording:
    return Recording(path.stem, path.stem, (path,), split=split, part=part)
