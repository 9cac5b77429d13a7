"""Clips of spoken digits called {digit}_{speaker}_{take}.wav, as recordings long enough to mix."""

import re
from collections import defaultdict
from pathlib import Path

from armillary.core.domain import Split
from armillary.core.random import derive_rng
from armillary.domains.speech.readers.recordings import Recording

_CLIP = re.compile(r"(\d)_([A-Za-z]+)_(\d+)\.wav")
_FOLDER = "recordings"
# As the set's authors say of its speakers; no file tells.
_MEN = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")


def is_spoken_digits(folder: Path) -> bool:
    """Whether clips of that name lie in the folder, or in its folder `recordings`."""
    return any(_CLIP.fullmatch(path.name) for path in _clips(folder))


def read_spoken_digits(folder: Path) -> list[Recording]:
    """One recording of each speaker and take: the digits of that take end to end, in an order of its own.

    Takes 0 to 4 are the test split, as its authors say; of the others every fourth pair (3 and 4 modulo 8) is for
    validation. The speakers are the same in all splits.
    """
    takes: defaultdict[tuple[str, int], list[Path]] = defaultdict(list)
    for path in _clips(folder):
        match = _CLIP.fullmatch(path.name)
        if match:
            takes[match[2], int(match[3])].append(path)
    return [
        Recording(
            f"{speaker}_{take}", speaker, _shuffled(paths, speaker, take), "M" if speaker in _MEN else "", _split(take)
        )
        for (speaker, take), paths in sorted(takes.items())
    ]


def _clips(folder: Path) -> list[Path]:
    return sorted([*folder.glob("*.wav"), *(folder / _FOLDER).glob("*.wav")])


def _shuffled(paths: list[Path], speaker: str, take: int) -> tuple[Path, ...]:
    """In one order for all, two voices of a mixture would say the same digit at the same time."""
    order = derive_rng("spoken digits", speaker, take).permutation(len(paths))
    return tuple(paths[place] for place in order)


def _split(take: int) -> Split:
    if take < 5:
        return "test"
    return "validation" if take % 8 in (3, 4) else "train"
