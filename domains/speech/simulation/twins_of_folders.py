"""Small twins of sets of finished mixtures: WSJ0-mix, WHAM!, WHAMR! and LibriMix as their scripts write them."""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from jaxtyping import Float32
from scipy.io import wavfile
from scipy.signal import fftconvolve

from armillary.core.random import derive_rng, derive_seed
from armillary.domains.speech.simulation.noise import coloured_noise
from armillary.domains.speech.simulation.speakers import draw_speaker
from armillary.domains.speech.simulation.tree import cut_in_half, kind_of
from armillary.domains.speech.simulation.voice import speak

_RATE_HZ = 8000
_RT60_S = 0.1
# Speakers of WSJ0 have three signs; validation has those of training.
_WSJ_SPEAKERS = {"tr": ("01a", "01b", "01c"), "cv": ("01a", "01b", "01c"), "tt": ("05a", "05b", "05c")}
_READERS = {"train-100": ("9001", "9002", "9003"), "dev": ("9101", "9102"), "test": ("9201", "9202")}
# Where LibriMix's own tables say that the files lie: on the machine that made them.
_ELSEWHERE = "/storage/Libri2Mix"

Signals = Mapping[str, Float32[np.ndarray, " t"]]


@dataclass(frozen=True)
class _Parts:
    """Two voices, the same in a room, and a noise."""

    voices: Float32[np.ndarray, "2 t"]
    in_room: Float32[np.ndarray, "2 t"]
    noise: Float32[np.ndarray, " t"]


def write_wsj0_mix_twin(folder: Path, seed: int) -> tuple[int, str]:
    """2speakers/wav8k/min/{tr,cv,tt}/{mix,s1,s2} and spkrinfo.txt; of one training mixture s1 is cut in half."""
    found = _write_wsj(folder / "2speakers", seed, 0.6, "PCM_16", lambda parts: _two(parts.voices) | _sum(parts, "mix"))
    lines = [f"{name} {'MF'[place % 2]} x" for split in ("tr", "tt") for place, name in enumerate(_WSJ_SPEAKERS[split])]
    (folder / "spkrinfo.txt").write_text("\n".join(lines) + "\n")
    return found


def write_wham_twin(folder: Path, seed: int) -> tuple[int, str]:
    """wav8k/min/{tr,cv,tt}/{mix_clean,mix_both,mix_single,s1,s2,noise}; of one training mixture s1 is cut in half."""
    return _write_wsj(folder, seed, 0.16, "FLOAT", lambda parts: _two(parts.voices) | _noisy(parts.voices, parts.noise))


def write_whamr_twin(folder: Path, seed: int) -> tuple[int, str]:
    """As WHAM!, each but the noise once {}_anechoic and once {}_reverb; of one training mixture s1_anechoic is cut."""

    def kinds(parts: _Parts) -> Signals:
        dry = _two(parts.voices) | _noisy(parts.voices, parts.noise)
        wet = _two(parts.in_room) | _noisy(parts.in_room, parts.noise)
        named = {f"{kind}_{suffix}": signals[kind] for suffix, signals in (("anechoic", dry), ("reverb", wet))
                 for kind in signals if kind != "noise"}  # fmt: skip
        return named | {"noise": parts.noise}

    return _write_wsj(folder, seed, 0.08, "FLOAT", kinds)


def write_librimix_twin(folder: Path, seed: int) -> tuple[int, str]:
    """Libri2Mix/wav8k/min/{train-100,dev,test}/ and its tables; of one training mixture s1 is cut in half."""
    root = folder / "Libri2Mix" / "wav8k" / "min"
    names = {
        split: [f"{one}-1-{i:04d}_{other}-1-{i:04d}" for i, (one, other) in enumerate(_pairs(readers, split))]
        for split, readers in _READERS.items()
    }
    for split, mixtures in names.items():
        for name in mixtures:
            speakers = [token.partition("-")[0] for token in name.split("_")]
            parts = _parts(speakers, name, 0.36, seed)
            _write(root / split, name, _two(parts.voices) | _noisy(parts.voices, parts.noise), "PCM_16")
        _write_tables(root, split, mixtures, round(0.36 * _RATE_HZ))
    broken = names["train-100"][-1]
    cut_in_half(root / "train-100" / "s1" / f"{broken}.wav")
    return sum(map(len, names.values())), broken


def _write_wsj(
    folder: Path, seed: int, seconds: float, subtype: str, kinds: Callable[[_Parts], Signals]
) -> tuple[int, str]:
    """Mixtures named as WSJ0-mix names them; gives their number and the one that is broken."""
    root = folder / "wav8k" / "min"
    names: dict[str, list[str]] = {}
    for split, speakers in _WSJ_SPEAKERS.items():
        for one, other in _pairs(speakers, split):
            level = round(float(derive_rng(seed, split, one, other).uniform(0, 2.5)), 5)
            # Utterances of validation are others than those of training.
            utterance = {"tr": "o0101", "cv": "o0201", "tt": "o0301"}[split]
            name = f"{one}{utterance}_{level:g}_{other}{utterance}_{-level:g}"
            _write(root / split, name, kinds(_parts((one, other), name, seconds, seed, level)), subtype)
            names.setdefault(split, []).append(name)
    broken = names["tr"][-1]
    own = "s1" if (root / "tr" / "s1").is_dir() else "s1_anechoic"
    cut_in_half(root / "tr" / own / f"{broken}.wav")
    return sum(map(len, names.values())), broken


def _pairs(speakers: Sequence[str], split: str) -> list[tuple[str, str]]:
    """Three pairs for training, one for validation, two for the test if there are so many speakers."""
    every = [(one, other) for i, one in enumerate(speakers) for other in speakers[i + 1 :]]
    return every[: {"tr": 3, "train-100": 3, "cv": 1, "dev": 1}.get(split, 2)]


def _parts(speakers: Sequence[str], name: str, seconds: float, seed: int, level_db: float = 0.0) -> _Parts:
    """Two voices 2 `level_db` apart with a noise, scaled so that nothing reaches full scale."""
    gains = 10 ** (np.array([[level_db], [-level_db]], np.float32) / 20)
    spoken = [
        speak(
            draw_speaker(speaker, kind_of(ord(speaker[-1])), seed), seconds, _RATE_HZ, derive_seed(seed, name, speaker)
        )
        for speaker in speakers
    ]
    voices = (gains * np.stack(spoken)).astype(np.float32)
    in_room = np.stack(
        [fftconvolve(voice, _response(derive_seed(seed, name, i)))[: len(voice)] for i, voice in enumerate(voices)]
    )
    noise = coloured_noise(seconds, _RATE_HZ, 1.0, derive_seed(seed, name, "noise"))
    loudest = max(float(np.abs(part).max()) for part in (voices, voices.sum(0) + noise, in_room.sum(0) + noise))
    scale = np.float32(0.9 / loudest)
    return _Parts(scale * voices, scale * in_room.astype(np.float32), scale * noise)


def _response(seed: int) -> Float32[np.ndarray, " n"]:
    """A direct sound and fading noise: enough of a room to tell it from none."""
    time_s = np.arange(round(_RT60_S * _RATE_HZ)) / _RATE_HZ
    response = 0.15 * derive_rng(seed, "room").standard_normal(len(time_s)) * 10 ** (-3 * time_s / _RT60_S)
    response[0] = 1.0
    return response.astype(np.float32)


def _two(voices: Float32[np.ndarray, "2 t"]) -> dict[str, Float32[np.ndarray, " t"]]:
    return {"s1": voices[0], "s2": voices[1]}


def _sum(parts: _Parts, name: str) -> dict[str, Float32[np.ndarray, " t"]]:
    return {name: parts.voices.sum(0)}


def _noisy(
    voices: Float32[np.ndarray, "2 t"], noise: Float32[np.ndarray, " t"]
) -> dict[str, Float32[np.ndarray, " t"]]:
    clean = voices.sum(0)
    return {"mix_clean": clean, "mix_both": clean + noise, "mix_single": voices[0] + noise, "noise": noise}


def _write(place: Path, name: str, signals: Signals, subtype: str) -> None:
    for kind, signal in signals.items():
        (place / kind).mkdir(parents=True, exist_ok=True)
        path = place / kind / f"{name}.wav"
        if subtype == "FLOAT":
            # libsndfile would write the time into such a file.
            wavfile.write(path, _RATE_HZ, signal)
        else:
            soundfile.write(path, signal, _RATE_HZ, format="WAV", subtype=subtype)


def _write_tables(root: Path, split: str, mixtures: Sequence[str], length: int) -> None:
    (root / "metadata").mkdir(exist_ok=True)
    for kind, parts in (
        ("mix_clean", ("s1", "s2")),
        ("mix_both", ("s1", "s2", "noise")),
        ("mix_single", ("s1", "noise")),
    ):
        titles = ["noise_path" if part == "noise" else f"source_{part[1:]}_path" for part in parts]
        with (root / "metadata" / f"mixture_{split}_{kind}.csv").open("w", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(["mixture_ID", "mixture_path", *titles, "length"])
            for name in mixtures:
                paths = [f"{_ELSEWHERE}/wav8k/min/{split}/{part}/{name}.wav" for part in (kind, *parts)]
                writer.writerow([name, *paths, length])
