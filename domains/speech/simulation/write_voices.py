"""The simulated set: voices in LibriSpeech's tree, noises, and LibriMix's lists of mixtures of them."""

from pathlib import Path

from armillary.core.domain import Size
from armillary.core.random import derive_seed
from armillary.domains.speech.mixing.lists import write_list
from armillary.domains.speech.mixing.render import Roots
from armillary.domains.speech.readers.librispeech import TREE
from armillary.domains.speech.simulation.noise import coloured_noise
from armillary.domains.speech.simulation.tree import Cast, cut_in_half, list_mixtures, write_flac, write_tree

RATE_HZ = 8000
_CASTS: dict[Size, tuple[Cast, ...]] = {
    "default": (
        Cast("train", "train-simulated", 1001, 12, 4, (2.6, 4.2)),
        Cast("dev", "dev-simulated", 2001, 4, 2, (2.6, 4.2)),
        Cast("test", "test-simulated", 3001, 6, 2, (2.6, 4.2)),
    ),
    "twin": (
        Cast("train", "train-simulated", 1001, 4, 1, (0.8, 0.9)),
        Cast("dev", "dev-simulated", 2001, 3, 1, (0.8, 0.9)),
        Cast("test", "test-simulated", 3001, 3, 1, (0.8, 0.9)),
    ),
}
_COUNTS: dict[Size, dict[str, int]] = {
    "default": {"train": 48, "dev": 16, "test": 24},
    "twin": {"train": 4, "dev": 3, "test": 3},
}
_NOISE_FOLDERS = {"train": "tr", "dev": "cv", "test": "tt"}
_NOISE_S: dict[Size, float] = {"default": 12.0, "twin": 1.0}
_EXPONENTS: dict[Size, tuple[float, ...]] = {"default": (0.6, 1.4), "twin": (1.4,)}


def write_simulated_voices(folder: Path, seed: int, size: Size) -> tuple[int, str | None]:
    """LibriSpeech/, noise/{tr,cv,tt}/ and metadata/libri{2,3}mix_{train,dev,test}.csv at 8 kHz.

    Gives the number of mixtures of two voices and, of a twin, the utterance that is cut in half.
    """
    casts = _CASTS[size]
    roots = Roots(folder / TREE, folder / "noise")
    write_tree(roots.voices, casts, RATE_HZ, seed)
    for split, name in _NOISE_FOLDERS.items():
        for exponent in _EXPONENTS[size]:
            noise = coloured_noise(_NOISE_S[size], RATE_HZ, exponent, derive_seed(seed, split))
            write_flac(folder / "noise" / name / f"colour{round(10 * exponent):02d}.flac", noise, RATE_HZ)
    total = sum(_write_lists(folder, roots, cast, _COUNTS[size][cast.split], seed) for cast in casts)
    if size != "twin":
        return total, None
    broken = max(roots.voices.glob("train-*/*/*/*.flac"))
    cut_in_half(broken)
    return total, broken.stem


def _write_lists(folder: Path, roots: Roots, cast: Cast, count: int, seed: int) -> int:
    """Lists of two and of three voices; gives the number of mixtures of two."""
    noises = _NOISE_FOLDERS[cast.split]
    lengths: list[int] = []
    for voices, number in ((2, count), (3, max(4, count // 4))):
        mixtures = list_mixtures(roots, cast.split, cast.names, noises, voices, number, seed)
        write_list(folder / "metadata" / f"libri{voices}mix_{cast.split}.csv", mixtures)
        lengths.append(len(mixtures))
    return lengths[0]
