"""Small twins of sets of voices, of noises, and of lists that need both."""

import csv
import hashlib
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from armillary.core.random import derive_seed
from armillary.domains.speech.mixing.lists import Listed, write_list
from armillary.domains.speech.mixing.render import Roots
from armillary.domains.speech.readers.librispeech import TABLE, TREE
from armillary.domains.speech.simulation.noise import coloured_noise
from armillary.domains.speech.simulation.speakers import draw_speaker
from armillary.domains.speech.simulation.tree import (
    Cast,
    Utterance,
    cut_in_half,
    list_mixtures,
    write_flac,
    write_tree,
)
from armillary.domains.speech.simulation.voice import speak

_RATE_HZ = 16_000
_CASTS = (
    Cast("train", "train-clean-100", 9001, 4, 1, (0.7, 0.8)),
    Cast("dev", "train-clean-100", 9101, 3, 1, (0.7, 0.8)),
    Cast("test", "test-other", 9201, 3, 1, (0.7, 0.8)),
)
_BROKEN = Cast("train", "train-clean-100", 9099, 1, 1, (0.7, 0.8))
_NOISES = {"doing_the_dishes": 1.2, "exercise_bike": 1.8, "running_tap": 0.8}
_NOISE_OF = {"train": "doing_the_dishes", "dev": "doing_the_dishes", "test": "running_tap"}
_DIGIT_SPEAKERS, _DIGITS, _TAKES = ("george", "jackson"), (0, 1, 2), (0, 5, 6, 11)


def write_librispeech_mini_twin(folder: Path, seed: int) -> tuple[int, str]:
    """A tree of eleven utterances at 16 kHz and its table; the utterance of one training reader is cut in half."""
    written = write_tree(folder / TREE, (*_CASTS, _BROKEN), _RATE_HZ, seed)
    broken = next(one for one in written if one.reader == str(_BROKEN.first))
    rows = [_row(folder / TREE, one) for one in written]
    _write_rows(folder / TABLE, rows)
    cut_in_half(folder / TREE / broken.path)
    return len(written), Path(broken.path).stem


def write_noise_twin(folder: Path, seed: int) -> tuple[int, str]:
    """Three noises at 16 kHz and their table; one is cut in half."""
    rows: list[dict[str, object]] = []
    for name, exponent in _NOISES.items():
        noise = coloured_noise(1.2, _RATE_HZ, exponent, seed)
        write_flac(folder / f"{name}.flac", noise, _RATE_HZ)
        rms, peak = float(np.sqrt(np.mean(np.square(noise)))), float(np.abs(noise).max())
        rows.append(
            {
                "noise_ID": name,
                "sample_rate": _RATE_HZ,
                "length": len(noise),
                "rms": f"{rms:.5f}",
                "peak": f"{peak:.5f}",
            }
        )
    _write_rows(folder / "noise.csv", rows)
    cut_in_half(folder / "exercise_bike.flac")
    return len(rows), "exercise_bike"


def write_libri2mix_mini_twin(folder: Path, seed: int) -> tuple[int, str]:
    """Lists of mixtures of the twins of the voices and noises of the same seed; one row names a missing file."""
    with tempfile.TemporaryDirectory() as place:
        roots = Roots(Path(place) / TREE, Path(place) / "noise")
        write_tree(roots.voices, _CASTS, _RATE_HZ, seed)
        for name in set(_NOISE_OF.values()):
            noise = coloured_noise(1.2, _RATE_HZ, _NOISES[name], seed)
            write_flac(Path(place) / "noise" / f"{name}.flac", noise, _RATE_HZ)
        lists = {
            cast.split: list_mixtures(roots, cast.split, cast.names, _NOISE_OF[cast.split], 2, 4, seed)
            for cast in _CASTS
        }
    whole = lists["train"][0]
    gone = whole.paths[1].replace(Path(whole.paths[1]).stem, "9999-1-0000")
    name = f"{whole.name.split('_')[0]}_9999-1-0000"
    lists["train"].append(
        Listed(
            name, (whole.paths[0], gone), whole.gains, whole.noise_path, whole.noise_gain, whole.noise_start,
            speakers=(whole.speakers[0], "9999"), sexes=whole.sexes,
        )
    )  # fmt: skip
    for split, mixtures in lists.items():
        write_list(folder / "metadata" / f"libri2mix_{split}.csv", mixtures)
    return sum(map(len, lists.values())), name


def write_spoken_digits_twin(folder: Path, seed: int) -> tuple[int, str]:
    """Clips of two speakers, three digits and four takes at 8 kHz; one clip has a header and no samples."""
    count = 0
    for speaker in _DIGIT_SPEAKERS:
        for digit in _DIGITS:
            for take in _TAKES:
                voice = draw_speaker(speaker, "male", seed)
                signal = speak(voice, 0.3, 8000, derive_seed(seed, "clip", digit, take))
                path = folder / "recordings" / f"{digit}_{speaker}_{take}.wav"
                path.parent.mkdir(exist_ok=True)
                broken = (speaker, digit, take) == (_DIGIT_SPEAKERS[-1], _DIGITS[-1], 5)
                soundfile.write(path, signal[: 0 if broken else None], 8000, subtype="PCM_16")
                count += 1
    return count, f"{_DIGITS[-1]}_{_DIGIT_SPEAKERS[-1]}_5"


def _row(root: Path, one: Utterance) -> dict[str, object]:
    return {
        "split": one.split,
        "speaker_ID": one.reader,
        "sex": one.sex,
        "subset": one.subset,
        "length": one.num_samples,
        "origin_path": one.path,
        "sha1": hashlib.sha1((root / one.path).read_bytes()).hexdigest(),
    }


def _write_rows(path: Path, rows: list[dict[str, object]]) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
