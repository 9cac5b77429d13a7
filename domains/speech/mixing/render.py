"""The audio of a listed mixture."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float32

from armillary.core.errors import DataError
from armillary.domains.speech.mixing.lengths import fit, looped
from armillary.domains.speech.mixing.lists import Listed
from armillary.domains.speech.mixing.rooms import draw_room, in_room
from armillary.domains.speech.readers.audio import info
from armillary.domains.speech.readers.load import load
from armillary.domains.speech.readers.mixtures import LIST_RATE_HZ


@dataclass(frozen=True)
class Roots:
    """Where the paths of a list begin: those of voices, and those of noises (None: noises are left out)."""

    voices: Path
    noises: Path | None = None


@dataclass(frozen=True)
class Rendered:
    """Parts of a mixture at one rate and length, not yet added up.

    heard: the voices as the microphone hears them; sources: as they are to be found, which is another thing in a
    room; noise: None without.
    """

    heard: Float32[np.ndarray, "k t"]
    sources: Float32[np.ndarray, "k t"]
    noise: Float32[np.ndarray, " t"] | None

    def mixtures(self) -> dict[str, Float32[np.ndarray, " t"]]:
        """mix_clean: the voices; mix_both: with the noise; mix_single: the first voice with the noise."""
        clean = {"mix_clean": self.heard.sum(0)}
        if self.noise is None:
            return clean
        return clean | {"mix_both": self.heard.sum(0) + self.noise, "mix_single": self.heard[0] + self.noise}


def render(
    listed: Listed,
    roots: Roots,
    rate_hz: int,
    mode: Literal["min", "max"],
    target: Literal["direct", "reverberant"] = "direct",
) -> Rendered:
    """Each recording at `rate_hz` times its gain, cut to the shortest voice or padded to the longest.

    Of files with several channels the first is taken. A noise that ends too soon is looped.

    Raises:
        DataError: a file that is missing or cannot be read.
    """
    voices = [
        load_checked(roots.voices / path, rate_hz) * np.float32(gain)
        for path, gain in zip(listed.paths, listed.gains, strict=True)
    ]
    sources = fit(voices, mode)
    heard, sources = _in_room(listed, sources, rate_hz, target)
    return Rendered(heard, sources, _noise(listed, roots.noises, sources.shape[1], rate_hz))


def load_checked(path: Path, rate_hz: int, start: int = 0, stop: int | None = None) -> Float32[np.ndarray, " t"]:
    """A part of the first channel of a file; as `load`, but what is not whole or not finite is an error."""
    info(path)
    return load(path, rate_hz, start, stop, report=_refuse)


def _refuse(error: DataError) -> None:
    raise error


def _in_room(
    listed: Listed, voices: Float32[np.ndarray, "k t"], rate_hz: int, target: Literal["direct", "reverberant"]
) -> tuple[Float32[np.ndarray, "k t"], Float32[np.ndarray, "k t"]]:
    if listed.room_seed is None:
        return voices, voices
    room = draw_room(listed.room_seed, (listed.rt60_s, listed.rt60_s), len(voices), rate_hz)
    heard, direct = (
        np.stack([in_room(voice, response, room.lead) for voice, response in zip(voices, responses, strict=True)])
        for responses in (room.whole, room.direct)
    )
    return heard, heard if target == "reverberant" else direct


def _noise(listed: Listed, root: Path | None, length: int, rate_hz: int) -> Float32[np.ndarray, " t"] | None:
    if root is None or not listed.noise_path:
        return None
    path = root / listed.noise_path
    start = round(listed.noise_start * rate_hz / LIST_RATE_HZ)
    noise = load_checked(path, rate_hz, start, start + length)
    return looped(noise, length, rate_hz) * np.float32(listed.noise_gain)
